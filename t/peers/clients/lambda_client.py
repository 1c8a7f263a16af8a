# Deploys mark-lambda as README.md tells to, by way of botocore, and invokes
# it.  Prints assertions; leaves in FILE the key of a user who may invoke the
# functions, and where MiniStack has the HTTP front ends of one.
#
#   lambda_client.py ENDPOINT ZIP FILE

import base64
import json
import sys

import botocore.exceptions
import botocore.session

ENDPOINT, ZIP, FILE = sys.argv[1:]

session = botocore.session.get_session()


def client(name, key="test", secret="test"):
    return session.create_client(
        name, region_name="eu-central-1", endpoint_url=ENDPOINT,
        aws_access_key_id=key, aws_secret_access_key=secret)


def ok(condition, name):
    print(f"{'' if condition else 'not '}ok {name}", flush=True)


def invoke(aws, name, payload):
    answer = aws.invoke(FunctionName=name, Payload=json.dumps(payload),
                        LogType="Tail")
    log = base64.b64decode(answer.get("LogResult", ""))

    return (json.load(answer["Payload"]), answer.get("FunctionError"),
            log.decode())


# the package is larger than what create_function() takes by itself

s3 = client("s3")
s3.create_bucket(Bucket="packages", CreateBucketConfiguration={
    "LocationConstraint": "eu-central-1"})

with open(ZIP, "rb") as package:
    s3.put_object(Bucket="packages", Key="mark-lambda.zip", Body=package)

role = client("iam").create_role(
    RoleName="mark", AssumeRolePolicyDocument=json.dumps({
        "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": "sts:AssumeRole",
            "Principal": {"Service": "lambda.amazonaws.com"}}]}))

aws = client("lambda")

for name, variables in (("digits", {}), ("echo", {"MARK_MODEL": "echo"}),
                        ("broken", {"MARK_MODEL": "m=none.pt"})):
    aws.create_function(
        FunctionName=name, Runtime="provided.al2023", Handler=name,
        Role=role["Role"]["Arn"], MemorySize=1769, Timeout=60,
        Environment={"Variables": {"MARK_VERBOSE": "1", **variables}},
        Code={"S3Bucket": "packages", "S3Key": "mark-lambda.zip"})
    aws.get_waiter("function_active_v2").wait(FunctionName=name)
    ok(True, f"{name} created")

# who may invoke them, and nothing else

iam = client("iam")
iam.create_user(UserName="nginx")
iam.put_user_policy(
    UserName="nginx", PolicyName="invoke", PolicyDocument=json.dumps({
        "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": "lambda:InvokeFunction",
            "Resource": "arn:aws:lambda:eu-central-1:*:function:*"}]}))

key = iam.create_access_key(UserName="nginx")["AccessKey"]
key, secret = key["AccessKeyId"], key["SecretAccessKey"]

# a function URL, and an HTTP API with a stage

aws.add_permission(
    FunctionName="digits", StatementId="url", Principal="*",
    Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE")
url = aws.create_function_url_config(FunctionName="digits", AuthType="NONE")
url = url["FunctionUrl"].split("/")[2].split(".")[0]

aws.add_permission(
    FunctionName="digits", StatementId="api", Action="lambda:InvokeFunction",
    Principal="apigateway.amazonaws.com")
gateway = client("apigatewayv2")
api = gateway.create_api(Name="digits", ProtocolType="HTTP")["ApiId"]
integration = gateway.create_integration(
    ApiId=api, IntegrationType="AWS_PROXY", PayloadFormatVersion="2.0",
    IntegrationUri=aws.get_function(FunctionName="digits")
    ["Configuration"]["FunctionArn"])["IntegrationId"]
gateway.create_route(ApiId=api, RouteKey="$default",
                     Target=f"integrations/{integration}")
gateway.create_stage(ApiId=api, StageName="prod", AutoDeploy=True)

with open(FILE, "w") as f:
    json.dump({"key": key, "secret": secret,
               "url": f"/_aws/lambda-url/{url}",
               "api": f"/_aws/execute-api/{api}/prod"}, f)

# signatures are checked

aws = client("lambda", key, secret)

body, error, log = invoke(aws, "digits", {"instances": [[1] * 64]})
ok(error is None and len(body["predictions"][0]) == 10, "invoked")
ok(log.count("mark-lambda: ready in ") == 1, "a cold start")

for i in range(3):
    body, error, log = invoke(aws, "digits", {"instances": [[1] * 64] * i})
    ok("ready in" not in log and f" {i} rows" in log, f"a warm one, {i} rows")
    ok((error is None) == (i > 0), f"and its error: {error}")

body, error, log = invoke(aws, "broken", {"instances": [1]})
ok(error == "Unhandled" and "Mark.NoModel" in body["errorMessage"],
   "no model")

for name, aws, call in (
        ("another's secret", client("lambda", key, secret[::-1]),
         lambda aws: invoke(aws, "digits", {})),
        ("what is not allowed", aws, lambda aws: aws.list_functions())):
    try:
        call(aws)
        ok(False, name)
    except botocore.exceptions.ClientError as e:
        ok(e.response["ResponseMetadata"]["HTTPStatusCode"] == 403, name)
