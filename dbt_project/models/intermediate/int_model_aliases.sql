-- definitions 0.5: ids that share a Hub _id, a redirect or a row of the seed renames are one model
-- under its newest id.

with recursive read_ids as (

    select
        model_id,
        observed_on,
        hf_id
    from {{ ref('stg_hf__readings') }}

),

spans as (

    select
        model_id,
        min(observed_on) as first_observed_on,
        max(observed_on) as last_observed_on,
        max(case when hf_id is not null then observed_on end) as identified_on
    from read_ids
    group by model_id

),

newest_identities as (

    select
        spans.model_id,
        max(read_ids.hf_id) as hf_id
    from spans
    inner join read_ids
        on
            spans.model_id = read_ids.model_id
            and spans.identified_on = read_ids.observed_on
    group by spans.model_id

),

readings as (

    select
        spans.model_id,
        spans.first_observed_on,
        spans.last_observed_on,
        newest_identities.hf_id
    from spans
    left join newest_identities
        on spans.model_id = newest_identities.model_id

),

probes as (

    select * from {{ ref('stg_hf__probes') }}

),

renames as (

    select
        old_model_id,
        new_model_id
    from {{ ref('renames') }}

),

tracked as (

    select model_id from {{ ref('stg_registry__tracked_models') }}

),

ids as (

    select model_id from readings
    union
    select model_id from probes
    union
    select resolved_id as model_id
    from probes
    where resolved_id is not null
    union
    select old_model_id as model_id from renames
    union
    select new_model_id as model_id from renames
    union
    select model_id from tracked

),

-- the newest _id of each id; what a name meant before somebody else took it is another model
identities as (

    select
        model_id,
        hf_id
    from readings
    where hf_id is not null
    union
    select
        coalesce(probes.resolved_id, probes.model_id) as model_id,
        probes.hf_id
    from probes
    left join readings
        on coalesce(probes.resolved_id, probes.model_id) = readings.model_id
    where
        probes.hf_id is not null
        and readings.hf_id is null

),

same_identity as (

    select
        model_id,
        min(model_id) over (partition by hf_id) as other_id
    from identities

),

-- from an id to the one that replaced it; a redirect older than a reading under the old id is void
moves as (

    select
        probes.model_id as old_id,
        probes.resolved_id as new_id
    from probes
    left join readings
        on probes.model_id = readings.model_id
    where
        probes.is_redirect
        and (readings.last_observed_on is null or readings.last_observed_on <= probes.observed_on)
    union
    select
        old_model_id as old_id,
        new_model_id as new_id
    from renames

),

moved as (

    select distinct old_id from moves

),

pairs as (

    select
        model_id as one_id,
        other_id
    from same_identity
    where model_id <> other_id
    union
    select
        old_id as one_id,
        new_id as other_id
    from moves

),

links as (

    select
        one_id as from_id,
        other_id as to_id
    from pairs
    union
    select
        other_id as from_id,
        one_id as to_id
    from pairs

),

-- every id that can be reached from an id, over any number of links
reached as (

    select
        from_id as model_id,
        from_id as member_id
    from links
    union
    select
        reached.model_id,
        links.to_id as member_id
    from reached
    inner join links
        on reached.member_id = links.from_id

),

-- the newest id: not itself replaced, then read last, then first seen last
ranked as (

    select
        reached.model_id,
        reached.member_id,
        row_number() over (
            partition by reached.model_id
            order by
                case when moved.old_id is null then 0 else 1 end,
                coalesce(readings.last_observed_on, cast('1900-01-01' as date)) desc,
                coalesce(readings.first_observed_on, cast('1900-01-01' as date)) desc,
                reached.member_id
        ) as nth
    from reached
    left join moved
        on reached.member_id = moved.old_id
    left join readings
        on reached.member_id = readings.model_id

)

select
    ids.model_id,
    coalesce(ranked.member_id, ids.model_id) as canonical_id
from ids
left join ranked
    on
        ids.model_id = ranked.model_id
        and ranked.nth = 1
