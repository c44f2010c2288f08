{{ derivatives_by('region') }}
