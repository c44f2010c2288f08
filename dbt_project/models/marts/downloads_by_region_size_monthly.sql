{{ downloads_by_key_and_size('region') }}
