{{ downloads_by('region', share_of_three=true) }}
