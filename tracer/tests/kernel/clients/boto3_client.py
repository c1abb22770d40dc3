# With the long token of a role, over one kept connection; large files come in parts.
import sys, boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

base, *files = sys.argv[1:]
s3 = boto3.client(
    "s3",
    endpoint_url=base,
    region_name="us-east-1",
    aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
    aws_secret_access_key="secret",
    aws_session_token="t" * 3000,
    config=Config(s3={"addressing_style": "path"}),
)
s3.create_bucket(Bucket="bucket")
five_mib = 5 << 20
transfer = TransferConfig(multipart_threshold=five_mib, multipart_chunksize=five_mib)
for path in files:
    s3.upload_file(path, "bucket", path.rsplit("/", 1)[1], Config=transfer)
