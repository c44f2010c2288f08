{{ derivatives_by('organization') }}
