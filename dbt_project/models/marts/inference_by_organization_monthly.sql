{{ inference_by('organization', 'publisher_organization') }}
