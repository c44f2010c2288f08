{{ downloads_by_key_and_size('organization', with_region=true) }}
