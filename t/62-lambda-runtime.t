#!/usr/bin/perl

# mark-lambda before a Runtime API of our own: what it is given, what it
# answers, and how it ends.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use File::Temp qw(tempdir);
use JSON::PP;
use MIME::Base64;

use Test::Mark;
use Test::Mark::Runtime;
use Test::Mark::Server;

my ($bin) = @Test::Mark::Runtime::command;
my $dir = tempdir(CLEANUP => 1);

# the command line is not for people

like(run('--help'), qr/\A0 Usage: mark-lambda\n.*MARK_MODEL/s, 'help');
is(run('--version'), "0 mark-lambda 0.1.0\n", 'version');
like(run(), qr/\A2 .*AWS_LAMBDA_RUNTIME_API is not set/, 'no Lambda here');

# no model, no function

init_fails('no model', 'Mark.NoModel', qr/there is no model/,
    LAMBDA_TASK_ROOT => $dir);
init_fails('no file', 'Mark.NoModel', qr/cannot load model "m" from "\S+none/,
    LAMBDA_TASK_ROOT => $dir, MARK_MODEL => 'm=none.pt');

mkdir "$dir/model";
write_file("$dir/model/rubbish.pt", "rubbish\n" x 100);

init_fails('rubbish', 'Mark.NoModel', qr/cannot load model "rubbish"/,
    LAMBDA_TASK_ROOT => $dir);

for (['a list of nothing', ' , ', qr/lists no model/],
     ['no such built-in', 'what', qr/no built-in model "what"/],
     ['a name', 'a/b=x.pt', qr/bad name/], ['no name', '=x.pt', qr/bad name/],
     ['twice', 'echo,echo', qr/"echo" is given twice/])
{
    init_fails($_->[0], 'Mark.BadVariable', $_->[2], MARK_MODEL => $_->[1]);
}

init_fails('threads', 'Mark.BadVariable', qr/MARK_THREADS/,
    MARK_MODEL => 'echo', MARK_THREADS => 'many');

# an init error that nobody takes is one as well

my $r = Test::Mark::Runtime->new(MARK_MODEL => 'what');
$r->request;
$r->reply(500, '');
is($r->status, 1, 'init error not taken');

# bodies: the answer is mark-server's

my $s = Test::Mark::Server->new('--cache', "$dir/cache", '--model', 'digits',
    '--model', 'wide', '--model', 'echo');

unlink "$dir/model/rubbish.pt";
rename "$dir/cache/digits.pt", "$dir/model/digits.pt" or die "digits.pt: $!";

$r = Test::Mark::Runtime->new(LAMBDA_TASK_ROOT => $dir, _HANDLER => 'any');

srand 62;

for my $n (1, 2, 7, 64, 1000) {
    my $body = digits($n);
    my $answer = $r->invoke($body);

    is($answer->{kind}, 'response', "digits: $n rows");
    ok($answer->{body} eq $s->predict('digits', $body), 'as mark-server');
    is($answer->{headers}{'content-type'}, 'application/json', 'JSON');
}

like($r->invoke('{"instances": [[NaN' . ',1' x 63 . ']]}')->{body},
    qr/\A\{"predictions": \[\[NaN/, 'NaN');

# what mark-server would answer with a 400 is a function error

for my $body ('', 'null', '{}', '[1]', '{"instances": [[1, 2', "\0\xff",
              '{"inputs": [[1]]}', '{"instances": []}', '{"instances": [[1]]}',
              "{\"instances\": [[1]]} \xff",
              '{"instances": [{"b64": "AA=="}]}', '[' x 100000)
{
    my $answer = $r->invoke($body);
    my $wanted = decode_json($s->post('digits', $body)->{body})->{error};

    is_deeply([$answer->{kind}, decode_json($answer->{body})],
        ['error', { errorMessage => $wanted, errorType => 'Mark.BadRequest',
                    stackTrace => [] }],
        'function error: ' . substr $body, 0, 20);
    is($answer->{headers}{'lambda-runtime-function-error-type'},
        'Mark.BadRequest', 'its type');
}

is($r->{connections}, 1, 'one connection for all');

# answers that Lambda does not take are no end

is($r->invoke(digits(1), status => $_)->{kind}, 'response',
    "answered with $_") for 413, 400;
is($r->invoke(digits(1))->{kind}, 'response', 'and goes on');
like($r->log, qr/response of \d+ bytes: status 413\n/, 'logged');

$r->invoke(digits(1), deadline => int((time - 1) * 1000));
like($r->log, qr/\d{4} ms after its deadline\n/, 'a deadline that has passed');

ok($r->request, 'asks for more');
is($r->stop, 0, 'SIGTERM while it waits');
like($r->log, qr/\Amark-lambda: ready in /, 'ready was logged');

# SIGTERM in an invocation: it is answered first

$r = Test::Mark::Runtime->new(MARK_MODEL => 'wide', MARK_VERBOSE => 1);
my $body = '{"instances": [' . join(',', ('[' . join(',', (0.5) x 1024) . ']')
    x 400) . ']}';

$r->request;
$r->reply(200, $body, 'Lambda-Runtime-Aws-Request-Id' => 'an-id');
kill 'TERM', $r->{pid};

my $answer = $r->request;

is($answer->{uri}, '/2018-06-01/runtime/invocation/an-id/response',
    'SIGTERM in an invocation');
ok($answer->{body} eq $s->predict('wide', $body), 'its answer');
$r->reply(202, '');
is($r->request, undef, 'asks for no more');
is($r->status, 0, 'and the end');
like($r->log, qr/ an-id: 200, \d+ bytes, 400 rows, ran [\d.]+ ms, \d+ bytes /,
    'logged as verbose');

# which model

$r = Test::Mark::Runtime->new(MARK_MODEL => "wide, one=$dir/model/digits.pt"
    . ' two=model/digits.pt', LAMBDA_TASK_ROOT => $dir, _HANDLER => 'two');

is($r->invoke(digits(3))->{kind}, 'response', 'the handler names one');
is(event($r, '/v1/models/one:predict', body => digits(1))->{statusCode}, 200,
    'the path names another');
$r->stop;

$r = Test::Mark::Runtime->new(MARK_MODEL => 'wide echo', _HANDLER => 'x.y');
is(decode_json($r->invoke('{"instances": [1]}')->{body})->{errorType},
    'Mark.NoModel', 'nobody names one');

# events

my $text = '{"instances": ["\u00e4", "' . "\xc3\xa4" . '"]}';
my $answered = event($r, '/v1/models/echo:predict', body => $text);

is_deeply($answered, { statusCode => 200, isBase64Encoded => JSON::PP::false,
    headers => { 'Content-Type' => 'application/json' },
    body => "{\"predictions\": [\"\\u00e4\", \"\xc3\xa4\"]}" }, 'an event');

is(event($r, '/v1/models/echo%3Apredict', encoded => $text)->{body},
    $answered->{body}, 'base64, and a path with escapes');
is(event($r, '/prod/v1/models/echo:predict', body => $text,
    stage => 'prod')->{body}, $answered->{body}, 'a stage');
is(event($r, '/v1/models/echo:predict', body => $text,
    stage => '$default')->{body}, $answered->{body}, 'the default stage');
is(event($r, '/healthz', method => 'GET')->{body}, "ok\n", 'health');
is(event($r, '/healthz', method => 'GET')->{headers}{'Content-Type'},
    'text/plain', 'of another type');

for (1 .. 2) {
    my $event = event($r, '/v1/models/echo:predict',
        encoded => "{\"instances\": [" . '1' x $_ . "]}");
    is($event->{body}, '{"predictions": [' . '1' x $_ . ']}', 'padding');
}

for (['GET', '/v1/models/wide', ''], ['GET', '/v1/models/wide/metadata', ''],
     ['GET', '/v1/models/wide:predict', ''], ['GET', '/v1/models/none', ''],
     ['POST', '/v1/models/wide:predict', '{"instances": [[1]]}'],
     ['POST', '/v1/models/wide:predict', ''], ['PUT', '/', '1'])
{
    my ($method, $uri, $body) = @$_;
    my $wanted = http_request($s->port, method => $method, uri => $uri,
        body => $body);
    my $event = event($r, $uri, method => $method, body => $body);

    is_deeply([@$event{qw(statusCode body)}], [@$wanted{qw(status body)}],
        "$method $uri");
    is($event->{headers}{Allow}, $wanted->{headers}{allow}, 'Allow');
}

$answered = event($r, '/v1/models/wide:predict', encoded => undef);
is($answered->{statusCode}, 400, 'bad base64');
like($answered->{body}, qr/the body is not base64/, 'said so');

for (['version 1.0', '{"version": "1.0", "httpMethod": "GET"}'],
     ['no version', '{"rawPath": "/"}'],
     ['no method', '{"version": "2.0", "rawPath": "/"}'],
     ['a path that is none', '{"version": "2.0", "rawPath": 1}'],
     ['cut', '{"version": "2.0", "rawPath": "/'],
     ['a body that is none', '{"version": "2.0", "rawPath": "/", "body": {},'
         . ' "requestContext": {"http": {"method": "GET"}}}'])
{
    is(decode_json($r->invoke($_->[1])->{body})->{errorType}, 'Mark.BadEvent',
        "event: $_->[0]");
}

is(event($r, '/healthz', method => 'GET')->{statusCode}, 200, 'and goes on');
$r->stop;

# an API that is none

for (['no id', 200, '{}'], ['a bad id', 200, '{}',
      'Lambda-Runtime-Aws-Request-Id' => '../../init/error'],
     ['forbidden', 403, '{}'], ['stopped', 500, '{}'],
     ['cut', 200, '{"instances"', 'Lambda-Runtime-Aws-Request-Id' => 'x',
      'Content-Length' => 100])
{
    my ($name, @reply) = @$_;

    $r = Test::Mark::Runtime->new(MARK_MODEL => 'echo');
    $r->request;
    $r->reply(@reply);
    close delete $r->{connection} if $name eq 'cut';
    is($r->status, 1, "$name: status");
    like($r->log, qr/ready in .*\nmark-lambda: /, 'logged');
}

$r = Test::Mark::Runtime->new(MARK_MODEL => 'echo');
$r->invoke('{"instances": [1]}', status => 500);
is($r->status, 1, 'an answer that ends the environment');

# proxies are for what the function itself calls

$r = Test::Mark::Runtime->new(MARK_MODEL => 'echo',
    http_proxy => 'http://127.0.0.1:1', all_proxy => 'http://127.0.0.1:1');
is($r->invoke('{"instances": [1]}')->{body}, '{"predictions": [1]}',
    'no proxy');
$r->stop('INT');

done_testing;


sub run {
    my ($out, $pid) = ('', open my $f, '-|');
    die "cannot fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        open STDERR, '>&', \*STDOUT;
        delete $ENV{AWS_LAMBDA_RUNTIME_API};
        exec $bin, @_ or POSIX::_exit(127);
    }

    $out .= $_ while <$f>;
    close $f;

    return ($? >> 8) . " $out";
}


sub write_file {
    my ($name, $text) = @_;

    open my $f, '>', $name or die "$name: $!\n";
    print $f $text;
    close $f;
}


sub init_fails {
    my ($name, $type, $message, %env) = @_;

    my $r = Test::Mark::Runtime->new(%env);
    my $request = $r->request or die "no request: ", $r->log;

    is("$request->{method} $request->{uri}",
        'POST /2018-06-01/runtime/init/error', "$name: init error");
    is($request->{headers}{'lambda-runtime-function-error-type'}, $type,
        'its type');

    my $error = decode_json($request->{body});
    is($error->{errorType}, $type, 'and again');
    like($error->{errorMessage}, $message, 'its text');

    $r->reply(202, '{"status":"OK"}');
    is($r->status, 1, 'exit status');
}


# An event as a function URL makes it; encoded => undef: not base64 at all.

sub event {
    my ($r, $path, %o) = @_;

    my %event = (
        version => '2.0', routeKey => '$default', rawPath => $path,
        rawQueryString => '', headers => { 'content-type' => 'text/plain' },
        requestContext => { http => { method => $o{method} || 'POST',
                                      path => $path, protocol => 'HTTP/1.1' },
                            $o{stage} ? (stage => $o{stage}) : () },
        isBase64Encoded => exists $o{encoded} ? JSON::PP::true
                                              : JSON::PP::false,
    );

    $event{body} = !exists $o{encoded} ? $o{body}
        : defined $o{encoded} ? encode_base64($o{encoded}, '') : 'no!';
    delete $event{body} unless defined $event{body};

    utf8::decode($event{body}) if defined $event{body};

    my $answer = $r->invoke(JSON::PP->new->utf8->canonical->encode(\%event));

    die "$answer->{kind}: $answer->{body}\n"
        unless $answer->{kind} eq 'response';

    my $envelope = decode_json($answer->{body});
    utf8::encode($envelope->{body});

    return $envelope;
}
