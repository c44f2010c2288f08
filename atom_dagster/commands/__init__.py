"""The commands of `atom`, and the face they share.

``face`` holds what every command uses: options, exit codes, sentences, bars, the published file.
The other modules hold commands by subject; ``cli`` assembles them. Does not belong here: any work;
that is the jobs' (``schedules``), the assets' and the modules the commands call.
"""
