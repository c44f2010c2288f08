{{ downloads_by('organization') }}
