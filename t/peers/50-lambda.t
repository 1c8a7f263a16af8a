#!/usr/bin/perl

# mark-lambda as it is deployed: its package, in an empty file system, in
# AWS's own emulator of the Runtime API and in MiniStack.

use warnings;
use strict;

use File::Temp qw(tempdir);
use JSON::PP;
use MIME::Base64;

use Test::Mark;
use Test::Mark::Peer qw(ministack);
use Test::Mark::Runtime;
use Test::Mark::Server;

my $package = "$Test::Mark::top/build/lambda";
my $rie = $ENV{AWS_LAMBDA_RIE}
    || "$Test::Mark::top/build/peers/rie/aws-lambda-rie";
my $api = '/2015-03-31/functions';

my $t = Test::Mark->new;
my $s = Test::Mark::Server->new('--load', "digits=$package/model/digits.pt",
                                '--model', 'wide', '--model', 'echo');

srand 50;

my @bodies = map { digits($_) } 1, 2, 3, 17, 256, 4000;

# without anything of this system's but its kernel

SKIP: {
    my $root = tempdir(CLEANUP => 1);
    mkdir "$root/$_" or die "$_: $!" for qw(proc dev var var/task);

    local @Test::Mark::Runtime::command = ('unshare', '-r', '-m', 'sh', '-c',
        'mount --rbind /proc "$1/proc" && mount --rbind /dev "$1/dev"'
        . ' && mount --bind "$2" "$1/var/task"'
        . ' && exec chroot "$1" /var/task/bootstrap', 'sh', $root,
        $package);

    skip 'no namespaces', 4 if system('unshare', '-r', '-m', 'true') != 0;

    my $r = Test::Mark::Runtime->new(LAMBDA_TASK_ROOT => '/var/task');

    for (@bodies[0, 4]) {
        ok($r->invoke($_)->{body} eq $s->predict('digits', $_),
            'in an empty root');
    }

    my $maps = slurp("/proc/$r->{pid}/maps");
    is_deeply([grep { !m!^\Q$root\E/var/task/! } $maps =~ m!(/\S+)!g], [],
        'nothing from elsewhere') or diag($maps);
    is($r->stop, 0, 'stopped');
}

# AWS's emulator: the bytes are its own

SKIP: {
    skip "no $rie: set AWS_LAMBDA_RIE", 1 unless -x $rie;

    emulated('digits');
    emulated('wide', MARK_MODEL => 'wide');
    emulated('broken', MARK_MODEL => 'm=none.pt');
}

# MiniStack reads JSON and prints it again, so that only values are compared
# where it can see them; in an event they are a string

my $peer = Test::Mark::Peer->new($t, 'ministack',
                                 ready => '/_ministack/health');
my $port = $t->port('ministack');

Test::Mark::Peer::client('ministack', 'lambda_client',
    "http://127.0.0.1:$port", "$Test::Mark::top/build/mark-lambda.zip",
    $t->dir . '/deployed');

my $deployed = decode_json($t->read_file('deployed'));

for my $body (@bodies) {
    my $r = invoke($port, 'digits', $body);

    is($r->{status}, 200, 'MiniStack: status');
    is($r->{headers}{'x-amz-function-error'}, undef, 'no error');
    ok(values_of($r->{body}) eq values_of($s->predict('digits', $body)),
        'as mark-server');
}

for my $encoded (0, 1) {
    for my $body (@bodies, '{"instances": [[1]]}', '[]') {
        my $wanted = $s->post('digits', $body);
        my $r = invoke($port, 'digits',
                       event('/v1/models/digits:predict', $body, $encoded));
        my $answer = eval { decode_json($r->{body}) } || {};

        is($answer->{statusCode}, $wanted->{status}, "event: status");
        ok($answer->{body} eq $wanted->{body}, 'the very bytes');
    }
}

for my $body ('{"instances": [[1]]}', '[]', '{}') {
    my $r = invoke($port, 'digits', $body);

    is($r->{status}, 200, "a bad request: status");
    is($r->{headers}{'x-amz-function-error'}, 'Unhandled', 'function error');
    is_deeply(decode_json($r->{body}), { errorType => 'Mark.BadRequest',
        errorMessage => decode_json($s->post('digits', $body)->{body})
            ->{error}, stackTrace => [] }, 'mark-server says the same');
}

# events as others make them

for my $front (qw(url api)) {
    for my $request (
        (map { { method => 'POST', uri => '/v1/models/digits:predict',
                 body => $_ } } @bodies, '{"instances": [[1]]}', '{'),
        (map { { uri => $_ } } '/healthz', '/v1/models/digits',
            '/v1/models/none', '/v1/models/digits:predict'),
        { method => 'PUT', uri => '/v1/models/digits', body => 'x' })
    {
        my $wanted = http_request($s->port, %$request);
        my $r = http_request($port, %$request, timeout => 60,
                             uri => "$deployed->{$front}$request->{uri}");

        is_deeply([$r->{status}, @{$r->{headers}}{qw(content-type allow)}],
            [$wanted->{status}, @{$wanted->{headers}}{qw(content-type allow)}],
            "$front: $request->{uri}");
        ok($r->{body} eq $wanted->{body}, 'the very bytes');
    }
}

my $large = '{"instances": ["' . 'x' x 6_000_000 . '"]}';
ok(values_of(invoke($port, 'echo', $large)->{body})
    eq values_of($s->predict('echo', $large)), 'large');

$peer->stop;

done_testing;


# mark-lambda in the runtime interface emulator

sub emulated {
    my ($name, %env) = @_;

    my ($port, $dir) = ($t->port("rie_$name"), $t->dir . "/rie-$name");
    my $path = '/2015-03-31/functions/function/invocations';
    my $log = "$dir.log";
    my $pid = fork;
    die "cannot fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        # the bootstrap must end with it
        setpgrp;
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', $log;
        open STDERR, '>&', \*STDOUT;
        %ENV = (%ENV, LAMBDA_TASK_ROOT => $package, MARK_VERBOSE => 1, %env);
        exec $rie, '--runtime-interface-emulator-address', "127.0.0.1:$port",
            '--runtime-api-address', '127.0.0.1:' . $t->port("api_$name"),
            "$package/bootstrap", $name or POSIX::_exit(127);
    }

    my $invoke = sub { http_post($port, $path, $_[0]) };

    wait_for(sub { http_get($port, '/')->{status} });

    if ($name eq 'digits') {
        for my $body (@bodies, @bodies[0 .. 1]) {
            ok($invoke->($body)->{body} eq $s->predict('digits', $body),
                "RIE: the very bytes");

            my $r = $invoke->(event('/v1/models/digits:predict', $body, 1));
            ok(decode_json($r->{body})->{body}
                eq $s->predict('digits', $body), 'in an event');
        }

        is(decode_json($invoke->('[]')->{body})->{errorType},
            'Mark.BadRequest', 'a bad request');
        ok($invoke->($bodies[0])->{body} eq $s->predict('digits', $bodies[0]),
            'and goes on');
        is(scalar(() = slurp($log) =~ /mark-lambda: ready/g), 1,
            'one cold start');

    } elsif ($name eq 'wide') {

        # some 11 KB a row are answered

        for my $rows (400, 700, 1) {
            my $body = '{"instances": [' . join(', ', map { '[' . join(',',
                map { int rand 2 } 1 .. 1024) . ']' } 1 .. $rows) . ']}';
            my $wanted = $s->predict('wide', $body);
            my $answer = $invoke->($body)->{body};

            if (length $wanted < 6_291_556) {
                ok($answer eq $wanted, "RIE: $rows rows");

            } else {
                like($answer, qr/Function.ResponseSizeTooLarge/,
                    "$rows rows are too many");
                like(slurp($log), qr/response of \d+ bytes: status 413/,
                    'the function knows');
            }
        }

    } else {
        unlike($invoke->('{}')->{body}, qr/predictions/, 'RIE: no model');
        like(slurp($log), qr/cannot load model "m" from "\S+none.pt"/,
            'and the reason');
    }

    kill 'TERM', -$pid;
    waitpid $pid, 0;
    diag(slurp($log)) unless Test::More->builder->is_passing;
}


sub invoke {
    my ($port, $name, $body) = @_;

    # the account's own key needs no signature that fits

    return http_request($port, method => 'POST', timeout => 60,
        uri => "$api/$name/invocations", body => $body, headers => {
            'Content-Type' => 'application/json',
            Authorization => 'AWS4-HMAC-SHA256 Credential=test/20261122/'
                . 'eu-central-1/lambda/aws4_request, SignedHeaders=host, '
                . 'Signature=' . '0' x 64,
        });
}


sub event {
    my ($path, $body, $encoded) = @_;

    return JSON::PP->new->canonical->encode({
        version => '2.0', routeKey => '$default', rawPath => $path,
        rawQueryString => '', headers => { host => 'x' },
        requestContext => { http => { method => 'POST', path => $path } },
        body => $encoded ? encode_base64($body, '') : $body,
        isBase64Encoded => $encoded ? JSON::PP::true : JSON::PP::false,
    });
}


sub slurp {
    my ($name) = @_;

    open my $f, '<', $name or return '';
    local $/;

    return scalar <$f>;
}
