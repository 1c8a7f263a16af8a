# MiniStack: services of AWS on this machine.  What it keeps in files stays in
# the current directory, and it checks signatures.
#
#   serve_ministack.py PORT OTHER_PORT

import os
import sys

os.environ.update(
    AUTH="true",
    BIND_HOST="127.0.0.1",
    GATEWAY_PORT=sys.argv[1],
    IOT_MTLS_ENABLED="0",
    LOG_LEVEL="WARNING",
    MINISTACK_HOST="localhost",
    SERVICES="s3,lambda,apigateway,iam,sts,logs",
    SFTP_ENABLED="0",
    TMPDIR=os.getcwd(),
)

del sys.argv[1:]

# it reads its environment as it is imported

from ministack.app import main  # noqa: E402

main()
