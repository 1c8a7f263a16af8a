#!/usr/bin/perl

# mark_lambda: functions are invoked with requests that are signed, and what
# they, the service and the network can answer becomes the client's answer.
# The fake of the service checks each signature by itself.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use MIME::Base64 qw(encode_base64 decode_base64);
use Test::Mark;
use Test::Mark::Lambda qw(lambda service_error);
use Test::Mark::V2 qw(infer tensor v2_models);

delete $ENV{$_} for grep { /^AWS_/ } keys %ENV;
$ENV{AWS_ACCESS_KEY_ID} = 'AKIDENV';
$ENV{AWS_SECRET_ACCESS_KEY} = 'of/the+environment';
$ENV{AWS_SESSION_TOKEN} = 'token/of+the/environment==';

# a worker learns by itself which function is fast enough

my $t = Test::Mark->new(workers => 1);

plan(skip_all => 'no module') unless $t->has_module;

my $p = $t->port(8080);

my %keys = (
    AKIDENV  => { secret => 'of/the+environment',
                  token => 'token/of+the/environment==' },
    AKIDFILE => { secret => 'of-the-file' },
    AKIDNEXT => { secret => 'of-the-next-one', token => 'fresh' },
);

my $report = "START RequestId: 1 Version: 1\nREPORT RequestId: 1\t"
    . "Duration: 41.52 ms\tBilled Duration: 42 ms\tMemory Size: 1024 MB\t"
    . "Max Memory Used: 90 MB\t\n";

my $long = '{"predictions": [' . join(', ', map { "[$_.50]" } 1 .. 40000)
    . ']}';

# The function's name tells it what to do; what it has no word for, it echoes.

my %functions = (
    chunked => sub { { chunked => 1000, body => $long } },
    long => sub { { body => $long } },
    empty => sub { { body => '' } },
    dribble => sub { { body => '{"a": 1}', dribble => 1 } },
    odd => sub { { body => '{"a": 1}', dribble => 1, chunked => 3 } },
    crash => sub { { body => '{"errorMessage": "no \"model\"\n", '
                             . '"errorType": "Key\u0045rror"}',
                     headers => { 'X-Amz-Function-Error' => 'Unhandled' } } },
    picky => sub {
        my ($req) = @_;

        return { body => '{"errorMessage": "no number", '
                         . '"errorType": "Mark.BadRequest"}',
                 headers => { 'X-Amz-Function-Error' => 'Unhandled' } }
            if $req->{body} =~ /bad/;

        return { body => rows($req->{body}) };
    },
    timeout => sub { { body => '{"errorMessage": "Task timed out", '
                               . '"errorType": "Sandbox.Timedout"}',
                       headers => { 'X-Amz-Function-Error' => 'Unhandled' } } },
    exits => sub { { body => 'what', headers => {
                     'X-Amz-Function-Error' => 'Unhandled' } } },
    throttle => sub { throttle('Retry-After' => 7) },
    busy => sub { throttle() },
    large => sub { service_error(413, 'RequestTooLargeException',
                                 { message => 'too large' }) },
    content => sub { service_error(400, 'InvalidRequestContentException',
                                   { message => 'no JSON' }) },
    down => sub { service_error(500, 'ServiceException',
                                { Message => 'internal' }) },
    reset => sub { { reset => 1 } },
    closed => sub { { close_before => 1 } },
    cut => sub { { body => $long, cut => 5000 } },
    lie => sub { { body => '{}', length => 50, then_close => 1 } },
    until_close => sub { { body => '{}', close => 1 } },
    garbage => sub { { raw => "what is this\r\n\r\n", then_close => 1 } },
    twice => sub { { raw => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
                            . "Content-Length: 3\r\n\r\n{}" } },
    bad_chunk => sub { { raw => "HTTP/1.1 200 OK\r\n"
        . "Transfer-Encoding: chunked\r\n\r\nzz\r\n", then_close => 1 } },
    both => sub { { raw => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
        . "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" } },
    hang => sub { { hang => 1 } },
    interim => sub { { raw => "HTTP/1.1 100 Continue\r\n\r\n"
        . "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" } },
    trailing => sub { { raw => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
        . "\r\n{}HTTP/1.1 200 OK\r\n" } },
    report => sub {
        my ($req) = @_;
        return { body => '{}' } unless
            ($req->{headers}{'x-amz-log-type'} || '') eq 'Tail';
        return { body => '{}', headers => {
            'X-Amz-Log-Result' => encode_base64($report, '') } };
    },
    event => \&event,
    small => sub { { body => '"small"', delay => 0.3 } },
    big => sub { { body => '"big"' } },
    row => sub { { body => rows($_[0]{body}) } },
    model => sub { { body => model(JSON::PP::decode_json($_[0]{body})) } },
    count => sub { { body => '{"predictions": [' . join(', ', map { length }
        @{JSON::PP::decode_json($_[0]{body})->{instances}}) . ']}' } },
);

my $b = $t->backend(9001, handler => lambda(keys => \%keys,
    region => 'eu-central-1', function => sub {
        my ($req, $name) = @_;

        $name = defined $name ? $name : 'url';
        my $f = $functions{$name};

        return $f ? $f->($req) : { body => $req->{body} };
    }));

# kept connections that close with every second request

my $k = $t->backend(9002, keepalive => 2, handler => lambda(keys => \%keys,
    region => 'eu-central-1', function => sub { { body => '{}' } }));

# a function URL that anybody may call

my $u = $t->backend(9003, handler => lambda(unsigned => 1, function => sub {
    my ($req) = @_;

    return { status => 201, body => "$req->{method} $req->{uri} $req->{body}",
        headers => { 'Content-Type' => 'text/plain; charset=utf-8',
            'X-Own' => 'kept', 'X-Accel-Redirect' => '/lambda/echo',
            'Inference-Header-Content-Length' => 3 } };
}));


sub throttle {
    return service_error(429, 'TooManyRequestsException', {
        Reason => 'ReservedFunctionConcurrentInvocationLimitExceeded',
        message => 'Rate Exceeded.' }, @_);
}

# the answer to rows is what it always is, by row

sub rows {
    my ($body) = @_;

    my $rows = JSON::PP::decode_json($body)->{instances};

    return '{"predictions": [' . join(', ', map { "[$_.25]" } @$rows) . ']}';
}

# a model that speaks V2, in a function that takes events

sub v2 { v2_models('triton')->(@_) }

sub model {
    my ($event) = @_;

    my $how = v2({ %$event, uri => $event->{rawPath},
        body => decode_base64($event->{body}) });

    return JSON::PP->new->encode({ statusCode => $how->{status} || 200,
        headers => $how->{headers}, isBase64Encoded => JSON::PP::true,
        body => encode_base64($how->{body}, '') });
}

# what a function that takes events does, by the path

sub event {
    my ($req) = @_;

    my $event = JSON::PP::decode_json($req->{body});
    my $body = $event->{isBase64Encoded} ? decode_base64($event->{body})
        : do { my $s = $event->{body}; utf8::encode($s); $s };
    my $path = $event->{rawPath};
    my $json = JSON::PP->new->canonical;

    return { body => '{"statusCode": 200, "headers": {"a": "b\r\nc: d"}}' }
        if $path =~ /inject$/;
    return { body => '{"statusCode": 1}' } if $path =~ /malformed$/;
    return { body => rows($body) } if $path =~ /plain$/;

    return { body => $json->encode({ statusCode => 418,
        headers => { 'Content-Type' => 'application/octet-stream',
                     'X-Own' => "kept", 'Content-Length' => 99999,
                     Connection => 'close' },
        cookies => ['a=1', 'b=2'], isBase64Encoded => JSON::PP::true,
        body => encode_base64(reverse($body) . "\0\xff", '') }) }
        if $path =~ /binary$/;

    return { body => $json->encode({ statusCode => 200,
        body => $json->encode({ %$event, body => length $body }) }) };
}

my $tls = $t->dir . '/tls';
my $ca = 0 == system "cd '" . $t->dir . "' && openssl req -x509 -newkey "
    . "rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.crt "
    . ">tls.log 2>&1 && openssl req -newkey rsa:2048 -nodes -keyout tls.key "
    . "-subj /CN=lambda.eu-central-1.amazonaws.com -out tls.csr >>tls.log 2>&1 "
    . "&& printf 'subjectAltName=DNS:lambda.eu-central-1.amazonaws.com\\n' "
    . ">tls.ext && openssl x509 -req -days 2 -in tls.csr -CA ca.crt "
    . "-CAkey ca.key -CAcreateserial -extfile tls.ext -out tls.crt "
    . ">>tls.log 2>&1";

my $file = $t->write_file('keys', "[default]\naws_access_key_id = AKIDFILE\n"
    . "aws_secret_access_key = of-the-file\n");

$t->write_file('expired.json', credentials(Expiration =>
    '2020-01-01T00:00:00Z'));
$t->write_file('wrong', "[default]\naws_access_key_id = AKIDFILE\n"
    . "aws_secret_access_key = another\n");

sub credentials {
    return JSON::PP->new->canonical->encode({ AccessKeyId => 'AKIDNEXT',
        SecretAccessKey => 'of-the-next-one', SessionToken => 'fresh', @_ });
}

my $at = 'region=eu-central-1 endpoint=http://127.0.0.1:%%PORT_9001%%';

my $locations = join '', map { <<"EOC" } 'echo', sort keys %functions;
        location = /lambda/$_ {
            mark_lambda function=$_ $at timeout=2s;
        }
EOC

$t->conf(<<"EOC")->run;
%%GLOBALS%%

events {
}

http {
    %%HTTP%%

    client_max_body_size 16m;

    log_format lambda '\$uri id=\$mark_lambda_request_id '
                      'error=\$mark_lambda_function_error '
                      'function=\$mark_lambda_function '
                      'ms=\$mark_lambda_duration mb=\$mark_lambda_memory '
                      'usd=\$mark_lambda_cost '
                      'wait=\$mark_lambda_backoff '
                      'upstream=\$upstream_addr \$upstream_status '
                      'size=\$mark_batch_size';
    access_log %%DIR%%/lambda.log lambda;

    upstream kept {
        server 127.0.0.1:%%PORT_9002%%;
        keepalive 4;
    }

    upstream tls {
        server 127.0.0.1:%%PORT_8443%%;
        keepalive 4;
    }

    upstream spare {
        server 127.0.0.1:%%PORT_9009%%;
        server 127.0.0.1:%%PORT_9001%%;
    }

    server {
        listen 127.0.0.1:%%PORT_8443%% ssl;
        ssl_certificate %%DIR%%/tls.crt;
        ssl_certificate_key %%DIR%%/tls.key;

        location / {
            proxy_pass http://127.0.0.1:%%PORT_9001%%;
            proxy_set_header Host \$http_host;
            proxy_set_header X-Reused \$ssl_session_reused;
            proxy_set_header X-Name \$ssl_server_name;
            proxy_set_header Accept-Encoding \$connection_requests;
        }
    }

    server {
        listen 127.0.0.1:%%PORT_8080%%;

$locations
        location = /qualified {
            mark_lambda $at
                function=arn:aws:lambda:eu-central-1:1:function:echo
                qualifier=\$LATEST;
        }

        location = /kept {
            mark_lambda function=echo region=eu-central-1
                endpoint=http://kept;
        }

        location = /spare {
            mark_lambda function=echo region=eu-central-1
                endpoint=http://spare;
        }

        location = /tls {
            mark_lambda function=echo region=eu-central-1 endpoint=https://tls
                trusted_certificate=%%DIR%%/ca.crt;
        }

        location = /distrusted {
            mark_lambda function=echo region=eu-central-1
                endpoint=https://127.0.0.1:%%PORT_8443%%
                host=lambda.eu-central-1.amazonaws.com;
        }

        location = /trusting {
            mark_lambda function=echo region=eu-central-1
                endpoint=https://127.0.0.1:%%PORT_8443%% ssl_verify=off
                host=other:444;
        }

        location = /misnamed {
            mark_lambda function=echo region=eu-central-1
                endpoint=https://127.0.0.1:%%PORT_8443%% host=other
                trusted_certificate=%%DIR%%/ca.crt;
        }

        location = /file {
            mark_lambda function=echo $at credentials=%%DIR%%/keys;
        }

        location = /expired {
            mark_lambda function=echo $at credentials=%%DIR%%/expired.json;
        }

        location = /wrong {
            mark_lambda function=echo $at credentials=%%DIR%%/wrong;
        }

        location = /missing {
            mark_lambda function=echo $at credentials=%%DIR%%/missing;
        }

        location /event/ {
            mark_lambda function=event payload=event $at;
        }

        location /url/ {
            mark_lambda url=http://127.0.0.1:%%PORT_9003%%/ auth=none;
        }

        location /signed/ {
            mark_lambda url=http://127.0.0.1:%%PORT_9001%%
                region=eu-central-1;
        }

        location = /report {
            mark_lambda function=report log_tail=on $at;
        }

        location = /estimated {
            mark_lambda function=report memory=1024 $at;
        }

        location = /sizes {
            mark_slo 150ms;
            mark_lambda function=small:512 function=big:2048 $at;
        }

        location = /batch {
            mark_batch v1;
            mark_max_batch_size 4;
            mark_max_queue_delay 10s;
            mark_lambda function=row $at;
        }

        location = /batch/plain {
            mark_batch v1;
            mark_max_batch_size 4;
            mark_max_queue_delay 10s;
            mark_lambda function=event payload=event $at;
        }

        location /v2/ {
            mark_batch v2;
            mark_max_batch_size 4;
            mark_max_queue_delay 10s;
            mark_lambda function=model payload=event $at;
        }

        location = /batch/crash {
            mark_batch v1;
            mark_max_batch_size 2;
            mark_max_queue_delay 10s;
            mark_lambda function=crash $at;
        }

        location = /batch/picky {
            mark_batch v1;
            mark_max_batch_size 2;
            mark_max_queue_delay 10s;
            mark_lambda function=picky $at;
        }

        location = /batch/down {
            mark_batch v1;
            mark_max_batch_size 2;
            mark_max_queue_delay 10s;
            mark_lambda function=reset $at;
        }

        location = /batch/large {
            mark_batch v1;
            mark_max_batch_size 2;
            mark_max_batch_bytes 16m;
            mark_max_queue_delay 10s;
            mark_lambda function=count $at;
        }

        location = /batch/throttle {
            mark_batch v1;
            mark_max_batch_size 2;
            mark_max_queue_delay 10s;
            mark_lambda function=throttle $at;
        }

        location = /local {
            error_page 413 429 502 = \@local;
            mark_lambda function=throttle intercept_errors=on $at;
        }

        location \@local {
            mark_lambda function=echo $at;
        }

        location = /limited {
            limit_except POST {
                deny all;
            }
            mark_lambda function=echo $at;
        }

        location = /mark_status {
            mark_status json;
        }
    }
}
EOC

my ($r, @r, @seen);
my $n = 0;


sub invoke {
    my ($name, $body) = @_;

    $b->clear;
    return http_post($p, "/lambda/$name", defined $body ? $body : '{}');
}

sub says {
    my ($regex, $name) = @_;

    ok($t->log =~ $regex, $name);
}

sub gist { "$_[0]{status} $_[0]{body}" }

# the last line of the log for a URI; nginx writes it after the answer

sub logged {
    my ($uri, $like) = @_;

    my $line = '';

    wait_for(sub {
        ($line) = grep { /^\Q$uri\E / && (!$like || /$like/) }
            reverse split /\n/, $t->read_file('lambda.log');
        return defined $line;
    });

    return defined $line ? $line : '';
}


# What is sent.

$r = http_post($p, '/lambda/echo?a=b', '{"instances": [1.0]}',
    Authorization => 'Bearer x', 'X-Amz-Security-Token' => 'mine',
    'Content-Type' => 'text/plain');
is(gist($r), '200 {"instances": [1.0]}', 'raw: payload and answer as they are');
is($r->{headers}{'content-type'}, 'application/json', 'raw: type');
is($r->{headers}{'content-length'}, 20, 'raw: length');

@seen = $b->requests;
is("$seen[0]{method} $seen[0]{uri}",
    'POST /2015-03-31/functions/echo/invocations', 'raw: line');
is($seen[0]{headers}{'x-amz-invocation-type'}, 'RequestResponse',
    'raw: invocation type');
is($seen[0]{headers}{'content-type'}, 'application/json', 'raw: its type');
is($seen[0]{headers}{host}, '127.0.0.1:' . $b->port, 'raw: host');
like($seen[0]{headers}{authorization}, qr/^AWS4-HMAC-SHA256 Credential=AKIDENV/,
    'raw: not the authorization of the client');

is(http_get($p, '/lambda/echo')->{status}, 405, 'raw: no GET');
is(gist(invoke('empty')), '200 ', 'raw: an answer of nothing');
is(gist(invoke('echo', '')), '200 ', 'raw: nothing');

my $large = '["' . 'x' x 3_000_000 . '"]';
ok(gist(http_post($p, '/lambda/echo', $large)) eq "200 $large",
    'raw: three megabytes, of which a file holds most');

$b->clear;
is(gist(http_post($p, '/qualified', '{}')), '200 {}', 'qualifier');
is(($b->requests)[0]{uri}, '/2015-03-31/functions/'
    . 'arn%3Aaws%3Alambda%3Aeu-central-1%3A1%3Afunction%3Aecho/invocations'
    . '?Qualifier=%24LATEST', 'qualifier: where, and it was signed');

is(http_get($p, '/limited')->{status}, 403, 'limit_except');
is(gist(http_post($p, '/limited', '{}')), '200 {}', 'limit_except: allowed');


# How it is answered.

for (qw(chunked long)) {
    ok(gist(invoke($_)) eq "200 $long", "answer: $_");
}

is(gist(invoke($_)), '200 {"a": 1}', "answer: $_") for qw(dribble odd);
is(gist(invoke($_)), '200 {}', "answer: $_") for qw(interim trailing);

$r = invoke('crash');
is(gist($r), '500 {"error": "the function failed: no \"model\"\n"}',
    'function error: its message, escaped as it was');
is($r->{headers}{'content-type'}, 'application/json', 'function error: type');
says(qr/function "crash" failed \(Unhandled\), type "Key\\u0045rror", request/,
    'function error: logged');
like(logged('/lambda/crash'), qr/ id=request-\d+ error=Unhandled /,
    'function error: variables');
is(gist(invoke('exits')), '502 {"error": "the function failed"}',
    'function error: without a message');

$r = invoke('throttle');
is(gist($r), '429 {"error": "too many invocations: '
    . 'ReservedFunctionConcurrentInvocationLimitExceeded"}', 'throttled');
is($r->{headers}{'retry-after'}, 7, 'throttled: until when');
says(qr/throttles "throttle", reason Reserved\w+, wait:7000ms/,
    'throttled: logged');
is(invoke('busy')->{headers}{'retry-after'}, 1, 'throttled: a second');

is(gist(http_post($p, '/local', '{"to": "the other"}')),
    '200 {"to": "the other"}', 'throttled: intercepted');

$b->clear;
$large = '"' . 'x' x 6_291_556 . '"';
is(gist(http_post($p, '/lambda/echo', $large)),
    '413 {"error": "the request is larger than an invocation may be"}',
    'too large: refused');
is(scalar $b->requests, 0, 'too large: not sent');
is(http_post($p, '/lambda/echo', '"' . 'x' x 6_291_554 . '"')->{status}, 200,
    'too large: not by one byte');

is(gist(invoke('large')),
    '413 {"error": "the request is larger than an invocation may be"}',
    'too large: by the service');
is(gist(invoke('content')), '400 {"error": "the request is not JSON"}',
    'no JSON');
is(gist(invoke('down')),
    '502 {"error": "the function could not be invoked"}', 'service error');
says(qr/invoke "down" with 500, type "ServiceException": internal, request/,
    'service error: logged');
like(logged('/lambda/down'), qr/ 500 size=-$/,
    'service error: upstream status');

for (qw(reset closed cut lie until_close garbage twice bad_chunk both)) {
    is(invoke($_)->{status}, 502, "broken: $_");
    is(scalar $b->requests, 1, "broken: $_, invoked once");
}

is(invoke('hang')->{status}, 504, 'broken: no answer in time');
is(scalar $b->requests, 1, 'broken: no answer in time, invoked once');

$b->clear;
http_many([map { { uri => $_, body => '{}', leave => 0.1 } }
    '/lambda/hang', '/lambda/small', '/sizes'], port => $p);
is(scalar $b->wait_requests(3), 3, 'broken: clients that leave');

is(gist(http_post($p, '/spare', '{}')), '200 {}',
    'broken: another server, where none was reached');


# Kept connections, which the server closes now and then.

is(gist(http_post($p, '/kept', '{}')), '200 {}', "kept: $_") for 1 .. 7;
is($k->connections, 4, 'kept: connections');

@seen = $k->requests;
is($seen[0]{headers}{host}, 'lambda.eu-central-1.amazonaws.com',
    'kept: the name is not that of the upstream');

$k->restart;
is(gist(http_post($p, '/kept', '{}')), '200 {}',
    'kept: one that was closed is no failure');


# TLS.

SKIP: {
    skip 'no openssl', 7 unless $ca;

    $b->clear;
    is(gist(http_post($p, '/tls', '{}')), '200 {}', "tls: $_") for 1, 2;
    @seen = $b->requests;
    is($seen[0]{headers}{'x-name'}, 'lambda.eu-central-1.amazonaws.com',
        'tls: server name');
    is($seen[1]{headers}{'accept-encoding'}, 2, 'tls: kept');

    is(http_post($p, '/distrusted', '{}')->{status}, 502,
        'tls: certificates are verified');
    is(http_post($p, '/misnamed', '{}')->{status}, 502,
        'tls: and names');
    is(gist(http_post($p, '/trusting', '{}')), '200 {}',
        'tls: or not');
}


# Credentials.

$b->clear;
is(gist(http_post($p, '/file', '{}')), '200 {}', 'file');
like(($b->requests)[0]{headers}{authorization}, qr/Credential=AKIDFILE/,
    'file: its key');

# Writes the file anew, and waits until a worker has seen it.

sub becomes {
    my ($content, $want) = @_;

    $t->write_file('keys.new', $content);
    rename $t->dir . '/keys.new', $file or die "rename: $!\n";

    return wait_for(sub {
        $b->clear;
        http_post($p, '/file', '{}');
        my ($req) = $b->requests;
        return $req && $req->{headers}{authorization} =~ /Credential=$want/;
    });
}

ok(becomes(credentials(), 'AKIDNEXT'), 'file: JSON, of another key');
is(($b->requests)[0]{headers}{'x-amz-security-token'}, 'fresh',
    'file: its token');

$t->write_file('keys', '{"AccessKeyId": "AKIDNEXT", "SecretAc');
ok(wait_for(sub {
    http_post($p, '/file', '{}');
    return $t->log =~ /no AWS credentials in \S+keys": .*the last ones/;
}), 'file: broken, logged');
is(gist(http_post($p, '/file', '{}')), '200 {}', 'file: the last good one');

unlink $file;
is(gist(http_post($p, '/file', '{}')), '200 {}', 'file: gone');
ok(becomes("[default]\naws_access_key_id = AKIDFILE\n"
    . "aws_secret_access_key = of-the-file\n", 'AKIDFILE'), 'file: back');

$b->clear;
is(gist(http_post($p, '/expired', '{}')),
    '502 {"error": "there are no valid credentials"}', "expired: $_")
    for 1, 2;
is(scalar $b->requests, 0, 'expired: not sent');
is(scalar(() = $t->log =~ /credentials of \S+expired.json" have expired/g), 1,
    'expired: logged once');

is(http_post($p, '/missing', '{}')->{status}, 502, 'missing');

is(gist(http_post($p, '/wrong', '{}')),
    '502 {"error": "the function could not be invoked"}', 'wrong key');
says(qr/type "InvalidSignatureException": the signature does not/,
    'wrong key: logged');
ok($t->log !~ m!of-the-(?:file|next)|of/the\+env|secret-token!,
    'secrets are not logged, at debug level');


# Events.

$r = http_request($p, method => 'PUT', uri => '/event/a%20b?x=%22&y',
    body => "{\"\xc3\xbc\": 1}", headers => { 'X-A' => '1',
    'Content-Type' => 'application/json', 'User-Agent' => 'me' });
is($r->{status}, 200, 'event');
is($r->{headers}{'content-type'}, 'application/json', 'event: type');
my $event = eval { JSON::PP::decode_json($r->{body}) } || {};
is($event->{version}, '2.0', 'event: version');
is($event->{rawPath}, '/event/a%20b', 'event: path');
is($event->{rawQueryString}, 'x=%22&y', 'event: query');
is($event->{headers}{'x-a'}, '1', 'event: header');
is($event->{requestContext}{http}{method}, 'PUT', 'event: method');
is($event->{requestContext}{http}{sourceIp}, '127.0.0.1', 'event: address');
is($event->{requestContext}{http}{userAgent}, 'me', 'event: agent');
like($event->{requestContext}{requestId}, qr/^[0-9a-f]{32}$/, 'event: id');
is($event->{body}, 9, 'event: a body of text');
ok(!$event->{isBase64Encoded}, 'event: which is not base64');

$r = http_post($p, '/event/binary', "\0\1\2\xff",
    'Content-Type' => 'application/octet-stream');
is(gist($r), "418 \xff\2\1\0\0\xff", 'event: binary both ways, and a status');
is($r->{headers}{'x-own'}, 'kept', 'event: a header of the answer');
is($r->{headers}{'content-type'}, 'application/octet-stream',
    'event: its type');
is($r->{headers}{'content-length'}, 6, 'event: its length');
is(join(' ', map { $_->[1] } grep { lc $_->[0] eq 'set-cookie' }
    @{$r->{header_list}}), 'a=1 b=2', 'event: cookies');

is(gist(http_post($p, "/event/$_", '{}')),
    '502 {"error": "the function\'s answer is no HTTP response"}', "event: $_")
    for qw(inject malformed);
is(gist(http_post($p, '/event/plain', '{"instances": [1]}',
    'Content-Type' => 'application/json')), '200 {"predictions": [[1.25]]}',
    'event: an answer without an envelope');
is(http_post($p, '/event/x', "\xff" x 5_000_000)->{status}, 413,
    'event: too large as base64');


# Function URLs.

$r = http_request($p, method => 'PUT', uri => '/url/a%20b?c', body => 'x',
    headers => { 'X-Amz-Date' => 'now', 'X-Own' => 'kept',
                 Authorization => 'Bearer x', 'Content-Type' => 'a/b' });
is(gist($r), '201 PUT /url/a%20b?c x', 'url: as it is');
is($r->{headers}{'content-type'}, 'text/plain; charset=utf-8', 'url: type');
is($r->{headers}{'x-own'}, 'kept', 'url: a header of the answer');
is($r->{headers}{'inference-header-content-length'}, 3, 'url: another');
@seen = $u->requests;
is($seen[0]{headers}{'content-type'}, 'a/b', 'url: the client\'s type');
is($seen[0]{headers}{authorization}, 'Bearer x', 'url: not signed');
is($seen[0]{headers}{'x-own'}, 'kept', 'url: the client\'s header');
is(http_request($p, method => 'HEAD', uri => '/url/a')->{status}, 201,
    'url: HEAD');

is(gist(http_post($p, '/signed/a/c%20d?z=1&a=%2F&a', '{"a": 1}',
    Authorization => 'Bearer x')), '200 {"a": 1}', 'url: signed');


# What the log says of it, and what it costs.

is(gist(http_post($p, '/report', '{}')), '200 {}', 'report');
like(logged('/lambda/throttle'), qr/ wait=[1-7]\d{3} /, 'throttled: wait');
like(logged('/lambda/echo'), qr/ wait=0 /, 'throttled: not others');
like(logged('/report'), qr/ ms=42 mb=1024 usd=0\.000000900 /, 'report: cost');
is(gist(http_post($p, '/estimated', '{}')), '200 {}', 'estimate');
like(logged('/estimated'), qr/ ms=- mb=- usd=0\.00000\d{4} /,
    'estimate: by its time');
like(logged('/lambda/echo'), qr/ usd=- /, 'cost: not known');
like(logged('/lambda/reset'), qr/ usd=- /, 'cost: none');


# The smaller function is too slow, which is learned.

@seen = map { http_post($p, '/sizes', '{}')->{body} } 1 .. 8;
is(scalar(grep { $_ eq '"small"' } @seen), 8, 'sizes: the smallest is tried');
http_post($p, '/sizes', '{}') for 1 .. 8;
is(http_post($p, '/sizes', '{}')->{body}, '"big"', "sizes: $_") for 1 .. 5;
like(logged('/sizes', 'function=big'), qr/ function=big /, 'sizes: logged');


# Batches: one invocation for several clients.

for my $uri ('/batch', '/batch/plain') {
    $b->clear;
    @r = http_many([map { { uri => $uri, body => qq({"instances": [$_]}),
        headers => { 'Content-Type' => 'application/json' } } } 1 .. 4],
        port => $p);
    is(join(' ', map { gist($_) } @r),
        join(' ', map { qq(200 {"predictions": [[$_.25]]}) } 1 .. 4),
        "$uri: each its own");
    is(scalar $b->requests, 1, "$uri: one invocation");
}

like(logged('/batch'), qr/ upstream=127\S+ 200 size=4$/, 'batch: logged');
is($t->location('/batch/plain')->{carriers}{created}, 1, 'batch: its carrier');

# tensors in binary, which no JSON can hold

my @infer = map { { infer('/v2/models/add/infer', id => qq("r$_"),
    inputs => [ map { tensor($_, 'INT32', '1,3', \pack('l<*', -1, $n, 3)) }
                qw(a b) ], parameters => '{"binary_data_output":true}') } }
    map { $n++; $_ } 1 .. 4;
my @alone = map { my $infer = $_; v2({ %$infer, headers => { map {
    lc() => $infer->{headers}{$_} } keys %{$infer->{headers}} } }) } @infer;

$b->clear;
@r = http_many(\@infer, port => $p);
ok(join(' ', map { gist($_) } @r)
    eq join(' ', map { "200 $_->{body}" } @alone), 'v2: each its tensors');
is(join(' ', map { $_->{headers}{'inference-header-content-length'} } @r),
    join(' ', map { $_->{headers}{'Inference-Header-Content-Length'} } @alone),
    'v2: and what of them is JSON');
is(scalar $b->requests, 1, 'v2: one invocation');

@r = http_many([map { { uri => '/batch/crash',
    body => qq({"instances": [$_]}) } } 1 .. 2], port => $p);
is(join(' ', map { gist($_) } @r), join(' ',
    ('500 {"error": "the function failed: no \"model\"\n"}') x 2),
    'batch: a function error is everybody\'s that has it alone');

# one is to blame, and the others are not

$b->clear;
@r = http_many([map { { uri => '/batch/picky',
    body => qq({"instances": [$_]}) } } 1 .. 3, '"bad"'], port => $p);
is(join(' ', map { $_->{status} } @r), '200 200 200 400',
    'batch: a bad request costs its sender alone');
is(invoke('timeout')->{status}, 502, 'function error: Lambda\'s own');

@r = http_many([map { { uri => '/batch/throttle',
    body => qq({"instances": [$_]}) } } 1 .. 2], port => $p);
is(join(' ', map { "$_->{status} $_->{headers}{'retry-after'}" } @r),
    '429 7 429 7', 'batch: all are throttled');

$b->clear;
@r = http_many([map { { uri => '/batch/large', body => '{"instances": ["'
    . 'x' x $_ . '"]}' } } 4e6, 5e6], port => $p);
is(join(' ', map { gist($_) } @r), '200 {"predictions": [4000000]} '
    . '200 {"predictions": [5000000]}', 'batch: too large, so in halves');
is(scalar $b->requests, 2, 'batch: two invocations');

@r = http_many([map { { uri => '/batch/down',
    body => qq({"instances": [$_]}) } } 1 .. 2], port => $p);
is(join(' ', map { $_->{status} } @r), '502 502', 'batch: as is a failure');


# What nginx -t refuses.

sub refuses {
    my ($conf, $like, $name) = @_;

    my ($status, $said) = $t->test_conf(<<"EOC");
%%GLOBALS%%
events { }
http {
    %%HTTP%%
    upstream up { server 127.0.0.1:%%PORT_9001%%; }
    server {
        listen 127.0.0.1:%%PORT_8080%%;
        location / { $conf }
    }
}
EOC

    ok($status && $said =~ /\[emerg\].*$like.*\S+test\.conf:\d+/, $name)
        or diag("status $status: $said");
}

my $ok = 'function=f region=r endpoint=http://up';

refuses("mark_lambda $ok; mark_lambda $ok;", 'is duplicate', 'two of them');
refuses("mark_lambda $ok; proxy_pass http://up;", 'another handler',
    'beside proxy_pass');
refuses("proxy_pass http://up; mark_lambda $ok;", 'handler already',
    'behind proxy_pass');
refuses('mark_lambda region=r;', 'needs "function', 'no function');
refuses('mark_lambda function=f;', 'needs "region', 'no region');
refuses("mark_lambda $ok nothing=1;", 'unknown parameter', 'what is that');
refuses("mark_lambda $ok region=r;", 'is duplicate', 'twice');
refuses("mark_lambda $ok profile=;", 'is empty', 'empty');
refuses("mark_lambda $ok payload=xml;", 'raw', 'payload');
refuses("mark_lambda $ok log_tail=yes;", '"on" or "off"', 'flag');
refuses("mark_lambda $ok timeout=soon;", 'a time', 'time');
refuses("mark_lambda $ok price_request=1e9;", 'US dollars', 'price');
refuses("mark_lambda $ok auth=none;", 'function URL', 'auth of a function');
refuses("mark_lambda $ok url=http://up;", 'as they are', 'both');
refuses("mark_lambda $ok function=g;", 'its memory', 'sizes without memory');
refuses('mark_lambda function=f:512 function=g:256 region=r;', 'in order',
    'sizes the wrong way round');
refuses('mark_lambda function=f:64 region=r;', '10240', 'a small size');
refuses('mark_lambda url=http://up auth=none;', 'host=NAME',
    'a URL without a name');
refuses('mark_lambda url=ftp://up auth=none;', 'must begin', 'scheme');
refuses('mark_lambda url=http://up/a auth=none;', 'a path', 'path');
refuses("mark_lambda $ok trusted_certificate=ca.crt;", 'for "https"',
    'trust without TLS');

# other than nginx itself, whoever tests it may have no credentials

{
    local $ENV{AWS_SHARED_CREDENTIALS_FILE} = $t->dir . '/none';
    local $ENV{AWS_ACCESS_KEY_ID};

    my ($status, $said) = $t->test_conf(<<"EOC");
%%GLOBALS%%
events { }
http {
    %%HTTP%%
    server {
        listen 127.0.0.1:%%PORT_8080%%;
        location / { mark_lambda function=f $at; }
    }
}
EOC

    ok($status == 0 && $said =~ /\[warn\].*no AWS credentials.*conf:\d+/,
        'no credentials') or diag($said);
}

done_testing();
