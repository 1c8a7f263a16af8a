#!/usr/bin/perl

# mark-server from end to end: models, errors, connections, signals.

use warnings;
use strict;

use File::Temp qw/ tempdir /;
use IO::Select;
use IO::Socket::INET;
use IO::Uncompress::Gunzip qw/ gunzip /;
use JSON::PP;
use POSIX qw/ WNOHANG /;
use Test::More;
use Time::HiRes qw/ sleep time /;

my $bin = $ENV{TEST_MARK_SERVER} || 'build/mark-server';

plan(skip_all => "no $bin") unless -x $bin;

$SIG{PIPE} = 'IGNORE';

my %pids;
my $dir = tempdir('mark-server-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $json = JSON::PP->new->allow_nonref;

END {
        my $status = $?;
        kill 'KILL', $_ for keys %pids;
        $? = $status;
}

###############################################################################

# the command line

like(run('--version'), qr/^0 mark-server 0\.1\.0\n$/, 'version');
like(run('--help'), qr/^0 Usage: mark-server /, 'help');
like(run('--what'), qr/^2 .*unknown option "--what"\n\nUsage:/s,
        'unknown option');
like(run('--load'), qr/^2 .*option --load wants a value/, 'no value');
like(run('--load', 'x'), qr/^2 .*NAME=FILE is wanted/, 'load without a file');
like(run('--model', 'x'), qr/^2 .*no built-in model "x"/, 'unknown model');
like(run('--model', 'echo', '--load', 'echo=x'),
        qr/^2 .*model "echo" is given twice/, 'duplicate model');
like(run('--threads', '0'), qr/^2 .*bad value "0" of --threads/, 'threads');
like(run('--max-body', '1x'), qr/^2 .*a size such as/, 'size');
like(run('--listen', 'nowhere'), qr/^2 .*ADDR:PORT is wanted/, 'address');

write_file("$dir/rubbish.pt", "rubbish\n" x 100);

like(run('--load', "r=$dir/rubbish.pt"),
        qr/^1 mark-server: cannot load model "r" from "\S+rubbish.pt": \S.*\n$/,
        'rubbish for a model');
like(run('--load', "r=$dir/none.pt"),
        qr/^1 mark-server: cannot load model "r" from "\S+none.pt": \S.*\n$/,
        'no file for a model');

# training and its cache

my $s = start('--cache', "$dir/cache/new", '--max-body', '1m',
        '--model', 'digits', '--model', 'wide', '--model', 'echo');

like($s->{out}, qr/digits:\ accuracy\ 0\.9[6-9]\d\ on\ 359\ held-out\ images
                   \ \(trained\ in\ [\d.]+\ s\)/x,
        'digits trained');
ok(-s "$dir/cache/new/digits.pt", 'digits cached');

like(run('--listen', $s->{addr}), qr/^1 .*cannot listen on .* in use/,
        'address in use');

# what is not a prediction

is(status(get($s, '/healthz')), 200, 'health');
like(get($s, '/metrics'), qr!\r\nContent-Type: text/plain; version=0\.0\.4\r!,
        'metrics are for Prometheus');
is(metrics($s, 'digits')->{requests_total}, 0, 'and of each model');
is_deeply(metrics($s, 'echo'), { }, 'but of an echo without delay');
is(body(get($s, '/v1/models/digits')),
        '{"model_version_status":[{"version":"1","state":"AVAILABLE",'
        . '"status":{"error_code":"OK","error_message":""}}]}' . "\n",
        'model status');
is(status(get($s, '/v1/models/digits/versions/1')), 200, 'version status');
is(decode(get($s, '/v1/models/digits/metadata'))->{metadata}{signature_def}
        {signature_def}{serving_default}{inputs}{input}{tensor_shape}{dim}[1]
        {size}, 64, 'metadata');

# errors

is(failed(get($s, '/')), 404, 'nothing there');
is(failed(get($s, '/v1/models/none')), 404, 'no model');
is(failed(post($s, 'none', '{}')), 404, 'no model to predict');
is(failed(get($s, '/v1/models/wide/versions/2')), 404, 'no version');
is(failed(post($s, 'wide', '{}', ':classify')), 404, 'no classify');

my $r = get($s, '/v1/models/wide:predict');
is(failed($r), 405, 'predict is POST');
like($r, qr/\r\nAllow: POST\r\n/, 'allowed method');

error_like('digits', '', 'the body must be a JSON object');
error_like('digits', '[1]', 'the body must be a JSON object');
error_like('digits', '{"instances": [[1, 2', 'the body is not JSON');
error_like('digits', '{"instances": [[1]]} x', 'the body is not JSON');
error_like('digits', '{}', '"instances" is missing');
error_like('digits', '{"inputs": [[1]]}', 'columnar "inputs"');
error_like('digits', '{"instances": []}', 'must not have empty arrays');
error_like('digits', '{"instances": [1, 2]}',
        'model "digits" takes rows of shape [64], not []');
error_like('digits', '{"instances": [[1, 2]]}',
        'model "digits" takes rows of shape [64], not [2]');
error_like('digits', '{"instances": [[1, 2], [3]]}',
        'must have rows of one shape');
error_like('digits', '{"instances": [{"b64": "AA=="}]}',
        'must be an array of numbers');
error_like('digits', '{"instances": [[1e40]]}', 'float32 does not hold');

is(failed(post($s, 'digits', ' ' x (1024 * 1024 + 1))), 413, 'too large');
is(failed(http($s, join('', "POST /v1/models/echo:predict HTTP/1.1\r\n",
        "Host: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        (sprintf("%x\r\n", 100000) . ' ' x 100000 . "\r\n") x 11,
        "0\r\n\r\n"))), 413, 'too large in chunks');

# digits

my (@rows, @labels, $n);
gunzip('src/server/digits.csv.gz' => \my $csv) or die;

for my $line (split /\n/, $csv) {
        next if $n++ % 5 != 4;
        my @v = split /,/, $line;
        push @labels, pop @v;
        push @rows, '[' . join(',', @v) . ']';
}

my $p = decode(post($s, 'digits', instances(@rows)))->{predictions};
is(scalar @$p, 359, 'held-out rows are answered');

my $right = grep { best($p->[$_]) == $labels[$_] } 0 .. $#rows;
cmp_ok($right / @rows, '>=', 0.96, 'accuracy');
is(scalar(grep { abs(sum(@$_) - 1) > 1e-5 } @$p), 0, 'probabilities');

same_in_batches('digits', @rows[0 .. 63]);

is(body(post($s, 'digits', '{"signature_name":"serving_default",'
        . "\"instances\" : [ $rows[0] ] }")),
        body(post($s, 'digits', instances($rows[0]))), 'signature name');
is(body(post($s, 'digits', instances($rows[0]), '/versions/1:predict')),
        body(post($s, 'digits', instances($rows[0]))), 'version');

like(body(post($s, 'digits', instances('[NaN' . ',0' x 63 . ']'))),
        qr/^\{"predictions": \[\[NaN(,NaN){9}\]\]\}$/, 'NaN in, NaN out');

# wide

srand(1);
my @wide = map { '[' . join(',', map { sprintf '%.4f', rand(2) - 1 } 1 .. 1024)
        . ']' } 1 .. 33;

$p = decode(post($s, 'wide', instances($wide[0])))->{predictions};
is(scalar @{$p->[0]}, 1000, 'wide answers');

my $rms = sqrt(sum(map { $_ * $_ } @{$p->[0]}) / 1000);
ok($rms > 0.1 && $rms < 10, "of the order of one, $rms");

same_in_batches('wide', @wide);

# echo

for my $text ('[1, 2.50,3e0]', '[ "a\u00e9\"]", {"b": [1,{}]} ,null,true]',
        '[]', '[-0.0,NaN,-Infinity]', '["' . 'x' x 300000 . '"]')
{
        is(body(post($s, 'echo', "{\"instances\":$text}")),
                "{\"predictions\": $text}",
                'echo ' . substr($text, 0, 50));
}

is(body(post($s, 'echo', '{"signature_name": "s", "instances": [7] , "x": 1}')),
        '{"predictions": [7]}', 'echo drops the rest');
error_like('echo', '{"instances": 1}', 'must be an array');

# connections

my $c = connection($s);
is(body(talk($c, request('echo', instances($_)))), "{\"predictions\": [$_]}",
        "keep-alive $_") for 1 .. 3;

is(failed(talk($c, request('echo', ' ' x 1100000))), 413,
        'too large, with keep-alive');
is(body(talk($c, request('echo', instances(4)))), '{"predictions": [4]}',
        'and the connection lives');

print $c map { request($_ % 2 ? 'echo' : 'digits', instances($rows[$_])) }
        0 .. 19;
my @got = map { body(answer($c)) } 0 .. 19;
is(scalar(grep { /^\{"predictions": \[\[/ } @got), 20, 'pipelined');
is($got[19], "{\"predictions\": [$rows[19]]}", 'the last of them');

my @c = map { connection($s) } 1 .. 300;
print { $c[$_] } request('digits', instances($rows[$_])) for 0 .. 299;
@got = map { body(answer($c[$_])) } 0 .. 299;
is(scalar(grep { $got[$_] eq body(post($s, 'digits', instances($rows[$_]))) }
        (0, 1, 42, 298, 299)), 5, 'many connections, each its own answer');
is(scalar(grep { /^\{"predictions"/ } @got), 300, 'all of them answered');

# hundreds of busy ones: none may be forgotten

SKIP: {
        my $load = $ENV{TEST_MARK_LOAD} || 'build/mark-load';

        skip "no $load", 1 unless -x $load;

        open my $f, '-|', $load, qw/--concurrency 400 --requests 20000/,
                qw/--timeout 20 --body/, '{"instances": [%u]}',
                '--expect', '{"predictions": [%u]}',
                "http://$s->{addr}/v1/models/echo:predict" or die "$load: $!";
        my $said = do { local $/; <$f> };
        close $f;

        is($?, 0, '400 busy connections') or diag($said);
}

# clients that go away: in the head, in the body, while the model runs

for my $text ("POST /v1/models/wide:pre",
        substr(request('wide', instances($wide[0])), 0, 3000),
        (request('wide', instances(@wide[0 .. 15]))) x 20)
{
        $c = connection($s);
        print $c $text;
        sleep 0.05 if length $text < 5000;
        close $c;
}

is(status(post($s, 'wide', instances($wide[0]))), 200, 'clients gone');

undef @c;
is(stop($s), 0, 'terminated');

# a loaded model is the same model, from the cache or by its file

$s = start('--cache', "$dir/cache/new", '--model', 'digits',
        '--load', "mine=$dir/cache/new/digits.pt");

like($s->{out}, qr/digits: accuracy 0\.9[6-9]\d on 359 .* \(loaded\)/,
        'digits loaded');
is(body(post($s, $_, instances($rows[299]))), $got[299], "$_ answers")
        for qw/ digits mine /;
error_like('mine', '{"instances": [[1, 2]]}', 'rows of shape [64], not [2]');

is(stop($s), 0, 'terminated again');

# a broken cache is made anew

write_file("$dir/cache/new/digits.pt", 'rubbish');

$s = start('--cache', "$dir/cache/new", '--model', 'digits');

like($s->{out}, qr/digits: accuracy .* \(trained/, 'rubbish in the cache');
is(body(post($s, 'digits', instances($rows[299]))), $got[299],
        'trained to the same model');
cmp_ok(-s "$dir/cache/new/digits.pt", '>', 10000, 'cached again');

stop($s);

# T(n) = 100 ms + n * 10 ms, one at a time, and a signal with requests in
# flight: they are answered

$s = start('--model', 'echo', '--echo-delay', '100',
        '--echo-row-delay', '10000');

my $t = time();
is(body(post($s, 'echo', instances(1 .. 5))), '{"predictions": [1,2,3,4,5]}',
        'delayed echo');
$t = time() - $t;
ok($t >= 0.149 && $t < 0.3, "five rows took 150 ms: $t");

my $m = metrics($s);
is_deeply([ @$m{qw/ requests_total rows_total pending_requests /} ],
        [ 1, 5, 0 ], 'metrics: requests and rows');
ok($m->{busy_seconds_total} > 0.1 && $m->{busy_seconds_total} <= $t,
        "metrics: busy $m->{busy_seconds_total} s");

my $idle = connection($s);
@c = map { connection($s) } 1 .. 4;
$t = time();
print { $c[$_] } request('echo', instances($_)) for 0 .. 3;

sleep 0.15;
kill 'TERM', $s->{pid};

for (0 .. 3) {
        my $r = answer($c[$_]);
        is(body($r), "{\"predictions\": [$_]}", "answered in flight $_");
        like($r, qr/\r\nConnection: close\r\n/i, 'and closed') if $_;
}

$t = time() - $t;
ok($t >= 0.43 && $t < 0.8, "one at a time: $t");

is(wait_exit($s), 0, 'exit after the last answer');
ok(!IO::Socket::INET->new($s->{addr}), 'and does not listen');

# a client that never ends its body does not hold the server for long

$s = start('--model', 'echo');
$c = connection($s);
print $c substr(request('echo', instances(1)), 0, -1);
sleep 0.1;
$t = time();
is(stop($s), 0, 'terminated with half a request');
cmp_ok(time() - $t, '<', 8, 'in time');

done_testing();

###############################################################################

sub write_file {
        my ($name, $text) = @_;

        open my $f, '>', $name or die "$name: $!";
        print $f $text;
        close $f;
}

# the exit status and all output of a run that ends by itself

sub run {
        my $out = do {
                my $pid = open(my $f, '-|') // die $!;

                if ($pid == 0) {
                        open STDERR, '>&', \*STDOUT;
                        exec $bin, '--listen', '127.0.0.1:0', @_;
                        die "$bin: $!";
                }

                local $/;
                my $text = <$f>;
                close $f;
                $text;
        };

        return ($? >> 8) . " $out";
}

sub start {
        my $s = { out => '' };

        my $pid = open(my $f, '-|') // die $!;

        if ($pid == 0) {
                exec $bin, '--listen', '127.0.0.1:0', @_;
                die "$bin: $!";
        }

        $pids{$pid} = 1;
        @$s{qw/ pid f /} = ($pid, $f);

        while (my $line = <$f>) {
                $s->{out} .= $line;

                if ($line =~ /listening on (\S+)/) {
                        $s->{addr} = $1;
                        return $s;
                }
        }

        die "$bin does not start: $s->{out}";
}

sub stop {
        my ($s) = @_;

        kill 'TERM', $s->{pid};
        return wait_exit($s);
}

sub wait_exit {
        my ($s) = @_;

        for (1 .. 1000) {
                if (waitpid($s->{pid}, WNOHANG) == $s->{pid}) {
                        delete $pids{$s->{pid}};
                        return $? & 127 ? "signal $?" : $? >> 8;
                }

                sleep 0.01;
        }

        kill 'KILL', $s->{pid};
        return 'does not exit';
}

sub connection {
        my ($s) = @_;

        my $c = IO::Socket::INET->new(PeerAddr => $s->{addr}, Timeout => 5)
                or die "cannot connect: $!";
        $c->autoflush(1);
        return $c;
}

# one answer, by its length

sub answer {
        my ($c) = @_;
        my ($text, $want) = ('');

        while (!defined $want || length($text) < $want) {
                last unless IO::Select->new($c)->can_read(20);

                # not beyond this answer: the next one may have come with it
                my $n = defined $want ? $want - length($text) : 1;
                last unless $c->sysread($text, $n, length $text);

                if (!defined $want && $text =~ /\r\n\r\n$/) {
                        $text =~ /\r\nContent-Length: (\d+)/i or last;
                        $want = length($text) + $1;
                }
        }

        return $text;
}

sub talk {
        my ($c, $text) = @_;

        print $c $text;
        return answer($c);
}

sub http {
        my ($s, $text) = @_;

        return talk(connection($s), $text);
}

sub get {
        my ($s, $uri) = @_;

        return http($s, "GET $uri HTTP/1.1\r\nHost: x\r\n"
                . "Connection: close\r\n\r\n");
}

sub request {
        my ($model, $body, $rest) = @_;

        return "POST /v1/models/$model" . ($rest || ':predict')
                . " HTTP/1.1\r\nHost: x\r\nContent-Length: " . length($body)
                . "\r\n\r\n$body";
}

sub post {
        my ($s, @args) = @_;

        return http($s, request(@args));
}

sub instances {
        return '{"instances":[' . join(',', @_) . ']}';
}

sub status {
        return $_[0] =~ m!^HTTP/1\.1 (\d+)! ? $1 : "no status in '$_[0]'";
}

sub body {
        return $_[0] =~ /\r\n\r\n(.*)$/s ? $1 : '';
}

sub decode {
        my $v = eval { $json->decode(body($_[0])) };
        return ref $v eq 'HASH' ? $v : { };
}

# of a model, without the prefix of their names

sub metrics {
        my ($s, $model) = @_;

        $model ||= 'echo';

        return { body(get($s, '/metrics'))
                =~ /^mark_server_(\w+)\{model="$model"\} (\S+)$/mg };
}

# the status, if the answer is an error with a text

sub failed {
        my ($r) = @_;

        return decode($r)->{error} ? status($r) : "not an error: $r";
}

sub error_like {
        my ($model, $body, $text) = @_;

        my $r = post($s, $model, $body);
        is(failed($r), 400, "refused $body");
        like(decode($r)->{error} || '', qr/\Q$text\E/, $text);
}

# every row is answered alike in batches of all sizes, alone included

sub same_in_batches {
        my ($model, @rows) = @_;

        my @alone = map {
                body(post($s, $model, instances($_)))
                        =~ /^\{"predictions": \[(.*)\]\}$/ ? $1 : "?";
        } @rows;
        my @bad = grep {
                body(post($s, $model, instances(@rows[0 .. $_ - 1])))
                        ne '{"predictions": ['
                           . join(',', @alone[0 .. $_ - 1]) . ']}';
        } 2 .. @rows;

        is("@bad", '', "$model: rows of any batch are byte for byte the same");
}

sub best {
        my ($v) = @_;

        return (sort { $v->[$b] <=> $v->[$a] } 0 .. $#$v)[0];
}

sub sum {
        my $sum = 0;
        $sum += $_ for @_;
        return $sum;
}
