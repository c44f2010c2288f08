{{ downloads_by('size_bucket') }}
