{{ inference_by('region', 'publisher_region') }}
