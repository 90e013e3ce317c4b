"""An object store that speaks S3. Only this room knows the client, botocore."""
