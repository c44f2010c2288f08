{{ derivatives_by('family') }}
