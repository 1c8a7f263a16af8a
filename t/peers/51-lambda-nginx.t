#!/usr/bin/perl

# All the way: clients, a batched location, mark_lambda, a Lambda that checks
# signatures (MiniStack, for users of IAM), and mark-lambda in it.  What
# clients get is what mark-server answers each of them alone.

use warnings;
use strict;

use JSON::PP;

use Test::Mark;
use Test::Mark::Alike;
use Test::Mark::Peer qw(ministack);
use Test::Mark::Server;

my $t = Test::Mark->new;
my $s = Test::Mark::Server->new('--load',
    "digits=$Test::Mark::top/build/lambda/model/digits.pt");
my $peer = Test::Mark::Peer->new($t, 'ministack',
                                 ready => '/_ministack/health');

Test::Mark::Peer::client('ministack', 'lambda_client',
    'http://127.0.0.1:' . $t->port('ministack'),
    "$Test::Mark::top/build/mark-lambda.zip", $t->dir . '/deployed');

my $key = decode_json($t->read_file('deployed'));

for (['keys', $key->{secret}], ['wrong', scalar reverse $key->{secret}]) {
    $t->write_file($_->[0], "[default]\naws_access_key_id = $key->{key}\n"
                   . "aws_secret_access_key = $_->[1]\n");
}

$t->{ports}{server} = $s->port;

my $lambda = 'region=eu-central-1'
    . ' endpoint=http://127.0.0.1:%%PORT_ministack%%'
    . ' credentials=%%DIR%%';

$t->conf(<<"EOC")->run;
%%GLOBALS%%

events {
    worker_connections 512;
}

http {
    %%HTTP%%

    client_max_body_size 8m;

    server {
        listen 127.0.0.1:%%PORT_8080%%;

        location = /v1/models/digits:predict {
            mark_batch v1;
            mark_max_queue_delay 300ms;
            mark_max_batch_size 64;
            mark_lambda function=digits payload=event $lambda/keys;
        }

        location = /v1/models/digits/versions/1:predict {
            mark_batch v1;
            mark_max_queue_delay 300ms;
            mark_lambda function=digits payload=raw $lambda/keys;
        }

        location = /v1/models/digits {
            mark_lambda function=digits payload=event $lambda/keys;
        }

        location = /wrong {
            mark_lambda function=digits $lambda/wrong;
        }

        location = /broken {
            mark_lambda function=broken $lambda/keys;
        }

        location /plain/ {
            proxy_pass http://127.0.0.1:%%PORT_server%%/;
        }

        location = /mark_status {
            mark_status json;
        }
    }
}
EOC

srand 51;

my $event = '/v1/models/digits:predict';
my $raw = '/v1/models/digits/versions/1:predict';

# in an event the bytes are those of mark-server

alike($t, 'one row each', [ map { request($event, 1) } 1 .. 48 ],
    location => $event);
alike($t, 'some rows', [ map { request($event, 1 + $_ % 5) } 1 .. 24 ],
    location => $event);
alike($t, 'large ones', [ map { request($event, 400) } 1 .. 4 ]);

my (undef, $got) = alike($t, 'a bad row', [ map {
    $_ == 5 ? { %{request($event, 1)}, body => '{"instances": [[1, 2]]}' }
            : request($event, 1)
} 1 .. 12 ], location => $event, status => 0);

is(join(' ', map { $_->{status} } @$got),
    '200 200 200 200 400 200 200 200 200 200 200 200', 'only the guilty one');

alike($t, 'a model to look at', [ { uri => '/v1/models/digits' } ]);

# a plain body is JSON that MiniStack prints again

alike($t, 'plain bodies', [ map { request($raw, 1 + $_ % 3) } 1 .. 24 ],
    location => $raw, body => \&values_of, without => ['content-length']);

# what Lambda refuses

my $port = $t->port(8080);
my $body = request($raw, 1)->{body};

is(http_post($port, '/wrong', $body)->{status}, 502, 'a wrong signature');
like($t->log, qr/\[error\].*InvalidSignatureException/,
    'is logged as such');
is(http_post($port, '/broken', $body)->{status}, 502, 'no model');
is(http_post($port, $event, $body)->{status}, 200, 'and goes on');

$t->stop;
$peer->stop;

done_testing;


sub request {
    my ($uri, $rows) = @_;

    return { method => 'POST', uri => $uri, body => digits($rows) };
}
