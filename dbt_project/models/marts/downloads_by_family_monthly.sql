{{ downloads_by('family') }}
