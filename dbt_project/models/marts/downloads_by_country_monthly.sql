{{ downloads_by('country') }}
