"""Waiting, quotas, and answers that are not what they should be."""

from __future__ import annotations

import socket
import time
from dataclasses import replace

import pytest

from atom_dagster.sources import BadAnswer, RateLimited, Refused, Unreachable, http
from atom_dagster.sources.http import Client, Patience, Service, parse_json
from tests.unit._loopback import HTML, Clock, Loopback, Reply, serving

KEYED = Service("OpenRouter", "OPENROUTER_API_KEY")
OPEN = Service("The registry")
GOOD = Reply.json({"ok": True})
SECRET = "sk-or-v1-0123456789abcdef"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(clock: Clock) -> Client:
    return Client(clock.patience())


def test_a_good_answer_comes_at_the_first_attempt(server: Loopback, client: Client) -> None:
    server.replies(GOOD.gzipped())
    answer = client.get(OPEN, server.url + "/x?y=1")
    assert parse_json(OPEN, answer) == {"ok": True}
    assert [asked.target for asked in server.asked] == ["/x?y=1"]
    assert server.asked[0].headers["user-agent"].startswith("atom-dagster/")


def test_an_unreachable_host(clock: Clock, client: Client) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/x"
        with pytest.raises(Unreachable, match=r"^OpenRouter cannot be reached \(.*refused.*\); "):
            client.get(KEYED, url)
    assert len(clock.slept) == client.patience.tries - 1


def test_a_host_that_does_not_exist(client: Client) -> None:
    with pytest.raises(Unreachable, match="cannot be reached"):
        client.get(OPEN, "http://nobody.invalid/x")


def test_an_address_that_is_none(client: Client) -> None:
    with pytest.raises(BadAnswer, match="no usable address"):
        client.get(OPEN, "ftp://127.0.0.1/x")


def test_a_host_that_never_answers(monkeypatch: pytest.MonkeyPatch, server: Loopback, clock: Clock) -> None:
    def hang(asked: object) -> Reply:
        time.sleep(0.5)
        return GOOD

    server.answer = hang
    monkeypatch.setattr(http, "READ_TIMEOUT", 0.1)
    with pytest.raises(Unreachable, match="cannot be reached"):
        Client(clock.patience(tries=2)).get(OPEN, server.url)
    assert len(server.asked) == 2


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_says_which_variable_to_set_and_never_the_secret(
    server: Loopback, client: Client, status: int
) -> None:
    server.replies(Reply.json({"error": {"message": "No auth"}}, status=status))
    with pytest.raises(Refused, match="set OPENROUTER_API_KEY"):
        client.get(KEYED, server.url + "/x")
    with pytest.raises(Refused, match="check that OPENROUTER_API_KEY holds a valid key") as caught:
        client.get(KEYED, server.url + "/x", token=SECRET)
    assert SECRET not in str(caught.value)
    with pytest.raises(Refused, match="no credentials, so check the address"):
        client.get(OPEN, server.url + "/x")
    assert len(server.asked) == 3, "a refusal is not worth another attempt"


def test_server_errors_that_pass(server: Loopback, client: Client, clock: Clock) -> None:
    server.replies(Reply(status=500), Reply(status=503), Reply(status=408), GOOD)
    assert client.get(OPEN, server.url).status == 200
    assert len(clock.slept) == 3


def test_server_errors_that_stay(server: Loopback, client: Client) -> None:
    server.replies(Reply(status=502))
    with pytest.raises(Unreachable, match="keeps answering with status 502"):
        client.get(OPEN, server.url)
    assert len(server.asked) == client.patience.tries


def test_another_status_is_told_with_what_the_service_says(server: Loopback, client: Client) -> None:
    server.replies(Reply.json({"error": {"message": "span\n too long"}}, status=400))
    with pytest.raises(BadAnswer, match=r"answered /x with status 400 \(span too long\)\.$"):
        client.get(OPEN, server.url + "/x")


def test_a_storm_of_429(server: Loopback, client: Client) -> None:
    server.replies(Reply(status=429))
    with pytest.raises(RateLimited, match="quota is used up"):
        client.get(KEYED, server.url)
    assert len(server.asked) == client.patience.tries


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "17"}, 17.0),
        ({"Retry-After": "Sat, 23 May 2026 09:31:30 GMT"}, 90.0),
        ({"RateLimit": '"api";r=0;t=55', "Retry-After": "3"}, 56.0),
    ],
)
def test_what_the_service_asks_for_is_waited(
    server: Loopback, client: Client, clock: Clock, headers: dict[str, str], wait: float
) -> None:
    server.replies(Reply(status=429, headers=headers), GOOD)
    assert client.get(OPEN, server.url).status == 200
    assert clock.slept[0] == pytest.approx(wait)
    assert sum(clock.slept) == pytest.approx(wait)


@pytest.mark.parametrize("status", [429, 503])
def test_no_wait_is_longer_than_the_cap(server: Loopback, client: Client, clock: Clock, status: int) -> None:
    server.replies(Reply(status=status, headers={"Retry-After": "86400"}))
    with pytest.raises(RateLimited, match="asks us to wait 86400 s, longer than the 330 s"):
        client.get(OPEN, server.url)
    assert clock.slept == []


def test_a_wait_that_nobody_wants_any_more_ends(server: Loopback, clock: Clock) -> None:
    wanted = 3

    def check() -> None:
        nonlocal wanted
        if not (wanted := wanted - 1):
            raise KeyboardInterrupt

    patience = clock.patience(tries=2)
    server.replies(Reply(status=429, headers={"RateLimit": '"api";r=0;t=299'}))
    with pytest.raises(KeyboardInterrupt):
        Client(patience.until(check)).get(OPEN, server.url)
    assert 0 < sum(clock.slept) < 5
    # What was learnt is everybody's, and others wait on.
    clock.slept.clear()
    server.replies(GOOD)
    Client(patience).get(OPEN, server.url)
    assert sum(clock.slept) > 290


def test_backoff_doubles_to_a_ceiling_and_jitters() -> None:
    patience = Patience(base=1.0, most=8.0)
    for turn, whole in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (9, 8.0)):
        waits = {patience.backoff(turn) for _ in range(50)}
        assert all(whole / 2 <= wait <= whole for wait in waits)
        assert len(waits) > 1


def test_a_web_page_instead_of_json(server: Loopback, client: Client) -> None:
    server.replies(HTML)
    answer = client.get(OPEN, server.url + "/lists")
    with pytest.raises(BadAnswer, match=r"answered /lists with a web page instead of JSON"):
        parse_json(OPEN, answer)


@pytest.mark.parametrize("body", [b"", b"nonsense", b'{"data": [', b"\xff\xfe"])
def test_something_that_is_not_json(server: Loopback, client: Client, body: bytes) -> None:
    server.replies(Reply(body))
    with pytest.raises(BadAnswer, match="not whole JSON"):
        parse_json(OPEN, client.get(OPEN, server.url))


def test_truncated_gzip(server: Loopback, client: Client) -> None:
    whole = Reply.json(list(range(500)))
    server.replies(whole.gzipped(lose=9), whole.gzipped())
    assert parse_json(OPEN, client.get(OPEN, server.url)) == list(range(500))
    server.replies(whole.gzipped(lose=9))
    with pytest.raises(BadAnswer, match=r"torn answer .its gzip stream ends early"):
        client.get(OPEN, server.url)


def test_damaged_gzip(server: Loopback, client: Client) -> None:
    packed = GOOD.gzipped()
    server.replies(replace(packed, body=packed.body[:12] + b"\x00" * (len(packed.body) - 12)))
    with pytest.raises(BadAnswer, match=r"torn answer .its gzip stream is damaged"):
        client.get(OPEN, server.url)


def test_a_transfer_that_breaks(server: Loopback, client: Client) -> None:
    server.replies(replace(GOOD, cut=3), GOOD)
    assert client.get(OPEN, server.url).body == GOOD.body
    server.replies(replace(GOOD, cut=3))
    with pytest.raises(BadAnswer, match="torn answer"):
        client.get(OPEN, server.url)


def test_an_encoding_nobody_asked_for(server: Loopback, client: Client) -> None:
    server.replies(Reply(b"x", headers={"Content-Encoding": "br"}))
    with pytest.raises(BadAnswer, match="'br', which was not asked for"):
        client.get(OPEN, server.url)


def limited(remaining: int, reset: int, quota: int = 500) -> Reply:
    policy = f'"fixed window";"api";q={quota};w=300'
    limit = f'"api";r={remaining};t={reset}'
    return replace(GOOD, headers={"RateLimit": limit, "RateLimit-Policy": policy})


@pytest.mark.parametrize(
    ("remaining", "wait"), [(400, 0.0), (51, 0.0), (49, 100 / 50), (1, 50.0), (0, 101.0)]
)
def test_a_quota_is_used_but_never_overrun(
    server: Loopback, client: Client, clock: Clock, remaining: int, wait: float
) -> None:
    server.replies(limited(remaining, 100), GOOD)
    client.get(OPEN, server.url)
    client.get(OPEN, server.url)
    assert sum(clock.slept) == pytest.approx(wait)


def test_a_quota_that_frees_too_late_is_told_before_it_is_overrun(server: Loopback, client: Client) -> None:
    server.replies(limited(0, 4000))
    client.get(OPEN, server.url)
    with pytest.raises(RateLimited, match="asks us to wait 4001 s"):
        client.get(OPEN, server.url)
    assert len(server.asked) == 1


def test_a_fixed_window_is_emptied_without_a_single_429(clock: Clock) -> None:
    """A server with 20 requests a minute never sees the twenty-first."""
    window = {"since": clock(), "used": 0}

    def answer(asked: object) -> Reply:
        if clock() - window["since"] >= 60:
            window.update(since=clock(), used=0)
        window["used"] += 1
        assert window["used"] <= 20
        left = int(window["since"] + 60 - clock()) + 1
        return limited(20 - int(window["used"]), left, quota=20)

    with serving(answer) as server:
        client = Client(clock.patience(tries=1))
        begun = clock()
        for _ in range(100):
            client.get(OPEN, server.url)
        assert 240 <= clock() - begun <= 330, "paced, and the quota used"


def test_a_documented_quota_is_kept_without_headers(server: Loopback, client: Client, clock: Clock) -> None:
    server.replies(GOOD)
    service = replace(KEYED, per_minute=5)
    begun = clock()
    for _ in range(11):
        client.get(service, server.url)
    assert clock() - begun == pytest.approx(120)
    assert len(clock.slept) == 2


def test_loopback_is_asked_without_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, server: Loopback, clock: Clock
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    server.replies(GOOD)
    assert Client(clock.patience(tries=1)).get(OPEN, server.url).status == 200
