#!/usr/bin/perl

# mark_plan file: what a plan says is done, without a request lost; what is
# wrong with one is said once, and nginx goes on with what it had.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use POSIX ();
use Time::HiRes qw(sleep);

use Test::Mark;
use Test::Mark::HTTP;
use Test::Mark::Plan;

my $t = Test::Mark->new(log_level => 'info');

plan(skip_all => 'no module') unless $t->has_module;

# the letters are the servers; only a is in the configuration

my @letters = qw(a b c d);
my %port = map { $letters[$_] => 8081 + $_ } 0 .. $#letters;
my %backend = map { $_ => $t->backend($port{$_}, delay => 0.01) } @letters;
my %letter = map { ('127.0.0.1:' . $t->port($port{$_}) => $_) } @letters;

my $conf = <<'EOC';
%%GLOBALS%%
events { }
http {
    %%HTTP%%

    upstream p {
        server 127.0.0.1:%%PORT_8081%%;
        mark_balance slo slots=8 slow_start=0s;
        PLAN
        keepalive 8;
    }

    proxy_http_version 1.1;
    proxy_set_header Connection "";
    add_header X-Peer $upstream_addr;

    server {
        listen 127.0.0.1:%%PORT_8080%%;

        location / { proxy_pass http://p; }

        location /slo {
            mark_slo 5s;
            proxy_pass http://p;
        }

        location /batch {
            mark_batch v1;
            mark_preferred_batch_size 2 4 8;
            proxy_pass http://p;
        }

        location /delay {
            mark_batch v1;
            mark_max_queue_delay 600s;
            mark_max_batch_size 3;
            proxy_pass http://p;
        }

        location = /mark_status { mark_status json; }
    }
}
EOC

my $line = 'mark_plan file %%DIR%%/plan.json interval=20ms;';


sub configuration {
    my ($with) = @_;

    (my $text = $conf) =~ s/PLAN/$with/;

    return $text;
}

my $plan = Test::Mark::Plan->new(pool => 'p', file => $t->dir . '/plan.json');
my $port = $t->port(8080);


sub address { '127.0.0.1:' . $t->port($port{$_[0]}) }


# "b", or [b => price => 1]: a server of a plan, which takes one at a time

sub peers {
    return [ map {
        my ($letter, %o) = ref $_ ? @$_ : $_;
        { address => address($letter), concurrency => 1, %o }
    } @_ ];
}


# what the log has of the module since then

sub said {
    my ($from) = @_;

    return map { "$_\n" } grep { /mark: / } split /\n/, $t->log($from);
}


# a new plan, which nginx must take

sub in_force {
    my ($text) = @_;

    my ($version) = $text =~ /"version":(\d+)/;
    my $from = length $t->log;

    $plan->put($text);

    return wait_for(sub {
        $t->log($from) =~ /plan $version of upstream "p" is in force/
    });
}


sub now_has {
    my ($what, $peers, %o) = @_;

    my $from = length $t->log;

    ok(in_force($plan->text(peers => $peers, %o)), "$what: in force")
        or diag(said($from));
}


# who answers so many requests, so many at one time: { b => 2, c => 3 }

sub ask {
    my ($n, $concurrency, $uri) = @_;

    my @got = http_many([ map {
        { method => 'POST', uri => $uri || '/', body => '{"instances": [1]}' }
    } 1 .. $n ], port => $port, concurrency => $concurrency);

    my %by;

    for (@got) {
        $by{$_->{status} == 200 ? $letter{$_->{headers}{'x-peer'}} || '?'
                                : $_->{status}}++;
    }

    return \%by;
}


sub served_by {
    my ($letters, $what) = @_;

    is(join('', sort keys %{ask(8, 8)}), $letters, $what);
}


sub client {
    my ($uri, $row) = @_;

    my $c = Test::Mark::HTTP->new($port);

    $c->send(method => 'POST', uri => $uri,
             body => "{\"instances\": [$row]}");

    return $c;
}


# how many rows each request has that the server got

sub sizes {
    my ($letter, $n) = @_;

    my @got = $backend{$letter}->wait_requests($n);

    return join ' ', map { scalar @{$_->{rows}} } @got;
}


# --- what it does -------------------------------------------------------------

$plan->put($plan->text(peers => peers(qw(b c))));

$t->conf(configuration($line))->run;

ok($t->wait_log(qr/plan 1 of upstream "p" is in force, with 2 servers/),
    'a plan that is there at the start');
served_by('bc', 'its servers are used, that of the block is not');

now_has('one more', peers(qw(b c d)));
served_by('bcd', 'it is used');

now_has('one less', peers(qw(b d)));
served_by('bd', 'it is not used');

# what is in flight when its server leaves

now_has('one alone', peers('b'));

$backend{b}->freeze;
my $held = client('/batch', 17);
ok($t->reached('/batch', in_flight => 1), 'a request is there');

now_has('another instead', peers('c'));
served_by('c', 'it takes over');

$backend{b}->resume;
my $r = $held->response;
is($r->{status} . $r->{body}, '200{"predictions": [17]}',
    'what was in flight is answered');
is($letter{$r->{headers}{'x-peer'}}, 'b', 'by whom it was sent to');

now_has('both', peers(qw(b c)));
served_by('bc', 'it is back');

# states

now_has('warming', peers([b => state => 'warming'], 'c'));
served_by('c', 'nothing goes to one that warms up');

now_has('warm', peers(qw(b c)));
served_by('bc', 'it is ready');

now_has('draining', peers('b', [c => state => 'draining']));
served_by('b', 'nothing new goes to one that drains');

now_has('drained', peers(qw(b c)));
served_by('bc', 'it is ready again');

now_has('backup', peers('b', [c => backup => JSON::PP::true()]));
served_by('b', 'a backup is not used');

now_has('backup alone', peers([b => state => 'draining'],
                              [c => backup => JSON::PP::true()]));
served_by('c', 'unless there is no other');

# one that had nothing for long is looked at once a second, whatever it costs

my %fast = (latency => { base => 0.001, row => 0.0001 });

now_has('nobody known', peers('a'));
now_has('prices', peers([b => price => 9, class => 'gpu', id => 'i-9', %fast],
                        [c => price => 1, class => 'cpu', %fast]));
my $by = ask(40, 1, '/slo');
cmp_ok($by->{c}, '>', 2 * ($by->{b} || 0), 'the cheaper one has most');

now_has('nobody known', peers('a'));
now_has('latencies', peers([b => %fast],
                           [c => latency => { base => 2, row => 1 }]));
$by = ask(40, 1);
cmp_ok($by->{b}, '>', 2 * ($by->{c} || 0), 'the one said to be fast has most');

# weights, by what is in flight

now_has('nobody known', peers('a'));
now_has('weights', peers([b => weight => 3, concurrency => 32],
                         [c => concurrency => 32]));
$_->clear, $_->freeze for @backend{qw(b c)};
my @clients = map { client('/', $_) } 1 .. 16;
$_->resume for @backend{qw(b c)};
is(join(' ', map { $_->response->{status} } @clients),
    join(' ', (200) x 16), 'all are answered');
is(join(' ', map { scalar $_->requests } @backend{qw(b c)}), '12 4',
    'three of four go to the heavier one');

# how many at one time, and how large

now_has('concurrency', peers([b => concurrency => 3]));
$backend{b}->clear;
$backend{b}->freeze;

@clients = ();

for my $n (1 .. 3) {
    push @clients, client('/batch', $n);
    ok($t->reached('/batch', in_flight => $n), "$n at one time");
}

push @clients, map { client('/batch', $_) } 4 .. 5;
ok($t->reached('/batch', in_flight => 3, queued => 2), 'and no more');

$backend{b}->resume;
is(join(' ', map { $_->response->{body} =~ /\[(\d)\]/ } @clients),
    '1 2 3 4 5', 'all have their answers');
is(sizes(b => 4), '1 1 1 2', 'those that waited went together');


# with one in flight, these wait; then the sizes of all batches

sub batches_of {
    my ($rows, $n, $what, $sizes) = @_;

    $backend{b}->clear;
    $backend{b}->freeze;

    my @clients = client('/batch', 0);
    $t->reached('/batch', in_flight => 1);
    push @clients, map { client('/batch', $_) } 1 .. $rows;
    ok($t->reached('/batch', in_flight => 1, queued => $rows),
        "$what: $rows wait");

    $backend{b}->resume;
    is(join(' ', map { $_->response->{status} } @clients),
        join(' ', (200) x @clients), "$what: answered");
    is(sizes(b => $n), $sizes, "$what: batches");
}

now_has('max_batch', peers([b => concurrency => 1, max_batch => 4]));
batches_of(8, 3, 'of at most 4', '1 4 4');

# limits of batches

now_has('max_batch_size', peers([b => concurrency => 1]),
        batching => { max_batch_size => 3 });
batches_of(6, 4, 'preferred sizes up to 3', '1 2 2 2');

now_has('max_batch_size', peers([b => concurrency => 1]),
        batching => { max_batch_size => 1000 });
batches_of(8, 2, 'no more than preferred', '1 8');

now_has('max_queue_size', peers([b => concurrency => 1]),
        batching => { max_queue_size => 2 });

$backend{b}->clear;
$backend{b}->freeze;
@clients = client('/batch', 0);
$t->reached('/batch', in_flight => 1);
push @clients, map { client('/batch', $_) } 1 .. 2;
$t->reached('/batch', in_flight => 1, queued => 2);
is(client('/batch', 3)->response->{status}, 503, 'the queue is full');

# the plan after that is in force for what waits already

now_has('as configured', peers([b => concurrency => 1]));
push @clients, map { client('/batch', $_) } 4 .. 7;
ok($t->reached('/batch', in_flight => 1, queued => 6), 'the queue is longer');
$backend{b}->resume;
is(join(' ', map { $_->response->{status} } @clients),
    join(' ', (200) x 7), 'all are answered');
is(sizes(b => 3), '1 4 2', 'in batches as configured');

my $alone = client('/delay', 1);
ok($t->reached('/delay', queued => 1), 'one waits for others');
now_has('max_queue_delay', peers([b => concurrency => 1]),
        batching => { max_queue_delay => 0.001 });
is(client('/delay', 2)->response->{status}, 200, 'nobody waits any longer');
is($alone->response->{status}, 200, 'nor does the one that did');

now_has('max_queue_delay', peers([b => concurrency => 1]),
        batching => { max_queue_delay => 'auto' });
is(client('/delay', 2)->response->{status}, 200, 'nor with auto');

# nobody

now_has('no servers', [], overflow => { armed => JSON::PP::true() });
is(http_post($port, '/', '{}')->{status}, 502, 'there is no server');

# --- what is not done ---------------------------------------------------------

now_has('something to go on with', peers(qw(b c)));


# nothing changes, and the log says why, once

sub refused {
    my ($what, $text, $why) = @_;

    my $from = length $t->log;

    ref $text ? $text->() : $plan->put($text);

    my $said = wait_for(sub { $t->log($from) =~ $why });

    ok($said, "$what: the log says why") or diag(said($from));

    # some more looks at it
    sleep 0.1;

    my $n = () = $t->log($from) =~ /mark: (?:a|the) plan /g;

    is($n, 1, "$what: once") or diag(said($from));
    served_by('bc', "$what: the servers are those of before");
}


sub is_refused {
    my ($what, $text, $kind, $why) = @_;

    my $said = qr/a plan of upstream "p" is refused, $kind: .*$why/;
    my $before = counted();

    refused($what, $text, qr/$said.*; the servers stay as they are/);
    is(counted(), $before + 1, "$what: counted once");
}


# plans of the pool that were refused

sub counted {
    my ($pool) = grep { $_->{upstream} eq 'p' } @{$t->status->{pools}};

    return $pool->{plan}{refused};
}

my $a = peers('a');

is_refused('garbage', "\x7fELF\x00\xff", 'syntax', '');
is_refused('empty', '', 'syntax', '');
is_refused('a list', '[]', '\w+', '');
is_refused('half a plan', substr($plan->text(peers => $a), 0, 60), 'syntax',
           'line 1');
is_refused('too large', ' ' x (8 * 1024 * 1024 + 1), '\w+', '');
is_refused('no servers', $plan->text(peers => []), 'schema',
           'peers:.*overflow.armed');
is_refused('an unknown key', $plan->text(peers => $a, prise => 1), 'schema',
           'prise:');
is_refused('a name', $plan->text(peers => [{ address => 'localhost:80' }]),
           'schema', 'peers.0..address:.*"localhost:80".*name');
is_refused('an older one', $plan->text(peers => $a, version => 1), 'stale',
           'version: 1 is older than the current');
is_refused('the same version', sub {
    my ($last) = $t->log =~ /.*plan (\d+) of upstream "p" is in force/s;
    $plan->put($plan->text(peers => $a, version => 0 + $last));
}, 'stale', 'another plan');
is_refused('of another pool', $plan->text(peers => $a, pool => 'q'), 'pool',
           'must be "p"');
is_refused('expired', $plan->text(peers => $a, issued => 5, expires => 6),
           'expired', 'expires: 6 has passed');
is_refused('of the future', $plan->text(peers => $a, issued => time + 9999,
                                        expires => time + 10000),
           'schema', 'issued: is in the future');
is_refused('more than there is room for', $plan->text(peers => [ map {
               { address => '10.1.' . ($_ >> 8) . '.' . ($_ & 255) . ':80' }
           } 1 .. 10000 ]), 'schema', 'peers: 10000 are more than the 8');
is_refused('one server twice', $plan->text(peers => [ @$a, @$a ]), 'schema',
           'is that of peers.0. already');

refused('not there', sub { $plan->remove }, qr/is not there/);

SKIP: {
    skip 'root may read everything', 3 if $> == 0;

    refused('not to be read', sub {
        $plan->put($plan->text(peers => $a));
        chmod 0, $t->dir . '/plan.json';
    }, qr/cannot be read/);
}

refused('a directory', sub {
    $plan->remove;
    mkdir $t->dir . '/plan.json';
}, qr/cannot be read/);

rmdir $t->dir . '/plan.json';
now_has('a file', peers(qw(b c)));

refused('a pipe', sub {
    $plan->remove;
    POSIX::mkfifo($t->dir . '/plan.json', 0600);
}, qr/cannot be read/);

$plan->remove;

# what comes after all that

now_has('a good one', peers(qw(c d)));
served_by('cd', 'it is done');

# the same once more is nothing new

my $from = length $t->log;
my $same = $t->read_file('plan.json');
$plan->put($same);
sleep 0.2;
unlike($t->log($from), qr/mark: /, 'the same again: not a word');

# in place, by halves

my $text = $plan->text(peers => peers(qw(b d)));
my $half = length($text) / 2;

$from = length $t->log;
$plan->overwrite(substr($text, 0, $half));
ok(wait_for(sub { $t->log($from) =~ /refused, syntax/ }),
    'half of a plan is none');
served_by('cd', 'it changes nothing');

open my $file, '>>:raw', $t->dir . '/plan.json' or die;
print $file substr($text, $half);
close $file;
ok(wait_for(sub { $t->log($from) =~ /is in force/ }), 'with its other half');
served_by('bd', 'it does');

# a clock that does not tick between two plans

my $later = time + 60;

ok(in_force($plan->text(peers => peers(qw(b c))) . ' ' x 40),
    'one of some time');
utime $later, $later, $t->dir . '/plan.json';
sleep 0.2;

$from = length $t->log;
$text = $plan->text(peers => peers(qw(c d)));

open $file, '+<:raw', $t->dir . '/plan.json' or die;
print $file $text . ' ' x ((-s $file) - length $text);
close $file;
utime $later, $later, $t->dir . '/plan.json';
ok(wait_for(sub { $t->log($from) =~ /is in force/ }),
    'one of the same time and size');
served_by('cd', 'it is done');

# --- reload, restart ----------------------------------------------------------

ok($t->reload, 'reload');
served_by('cd', 'the plan is in force');

$plan->remove;
ok($t->reload, 'reload without its file');
served_by('cd', 'the plan is in force');
ok($t->wait_log(qr/is not there/), 'the log says that it is not there');

ok($t->reload(configuration('')), 'reload without mark_plan');
served_by('a', 'the servers are those of the block');

# workers of before a reload have nothing to say any more

$plan->put($plan->text(peers => peers('b'), version => 1));
ok($t->reload(configuration($line)), 'reload with mark_plan');
ok(wait_for(sub { join('', keys %{ask(1, 1)}) eq 'b' }), 'its plan is there');

my $planner = fork;
die "cannot fork: $!\n" unless defined $planner;

if ($planner == 0) {
    for my $n (1 .. 100000) {
        $plan->put($plan->text(peers => peers('c')));
        sleep 0.01;
    }

    POSIX::_exit(0);
}

ok(wait_for(sub { join('', keys %{ask(1, 1)}) eq 'c' }), 'many plans');
ok($t->reload(configuration('')), 'reload without mark_plan');
kill 'KILL', $planner;
waitpid $planner, 0;
served_by('a', 'the servers are those of the block');

# no room for the block's, until what has the slots is back

ok($t->reload(configuration($line) =~ s/slots=8/slots=2/r),
    'reload with fewer slots');
ok(wait_for(sub { join('', keys %{ask(1, 1)}) eq 'c' }), 'its plan is there');
now_has('two servers', peers(qw(c d)), version => 1e6);
$_->freeze for @backend{qw(c d)};
@clients = client('/batch', 1);
ok($t->reached('/batch', in_flight => 1), 'one of them has a request');
push @clients, client('/batch', 2);
ok($t->reached('/batch', in_flight => 2), 'the other one as well');
ok($t->reload(configuration('') =~ s/slots=8/slots=2/r),
    'reload without mark_plan');
$_->resume for @backend{qw(c d)};
is(join(' ', map { $_->response->{status} } @clients), '200 200',
    'what was in flight is answered');
ok(wait_for(sub { join('', keys %{ask(1, 1)}) eq 'a' }),
    'the servers of the block have their room in the end');

$plan->put($plan->text(peers => peers('b'), version => 1));
ok($t->reload(configuration($line)), 'reload with mark_plan');
ok(wait_for(sub { join('', keys %{ask(1, 1)}) eq 'b' }),
    'any version is as good as another then');

ok($t->stop, 'stopped');
$t->run;
ok(wait_for(sub { join('', keys %{ask(1, 1)}) eq 'b' }),
    'and started, with the same plan');

# a worker that dies knows of the plan, too

$plan->put('garbage');
$t->wait_log(qr/syntax.*garbage/);
ok($t->kill_worker, 'a worker is killed') if $t->{workers};
served_by('b', 'the plan is in force');

# --- without workers ----------------------------------------------------------

my $single = Test::Mark->new(workers => 0, log_level => 'info');

$single->backend(8081);

my $own = Test::Mark::Plan->new(pool => 'p',
                                file => $single->dir . '/plan.json');

$own->put($own->text(peers => [
    { address => '127.0.0.1:' . $single->port(8081) }
]));
$single->conf(configuration($line))->run;
ok($single->wait_log(qr/plan 1 of upstream "p" is in force/),
    'with master_process off');
is(http_post($single->port(8080), '/', '{"instances": [1]}')->{status}, 200,
    'it is used');

# --- configuration ------------------------------------------------------------

for (
    [ 'mark_plan url http://x;', qr/invalid source "url" in "mark_plan"/ ],
    [ 'mark_plan file;', qr/invalid|number of arguments/ ],
    [ 'mark_plan file p interval=0;', qr/invalid parameter "interval=0"/ ],
    [ 'mark_plan file p interval=x;', qr/invalid parameter "interval=x"/ ],
    [ 'mark_plan file p every=1s;', qr/invalid parameter "every=1s"/ ],
    [ 'mark_plan file p key=/nowhere;', qr/"\/nowhere" .*cannot be read/ ],
    [ 'mark_plan file p key=;', qr/invalid parameter "key="/ ],
    [ 'mark_plan file p key_id=me;', qr/has a key_id, but no key/ ],
    [ 'mark_plan file p; mark_plan file q;', qr/is duplicate/ ],
) {
    my ($with, $why) = @$_;
    my ($status, $said) = $t->test_conf(configuration($with));

    ok($status != 0 && $said =~ $why, $with) or diag($said);
}

$t->write_file('short', 'secret');
my ($status, $said) = $t->test_conf(
    configuration('mark_plan file p key=%%DIR%%/short;'));
ok($status != 0 && $said =~ /the key ".*short" of "mark_plan": .*16/,
    'a secret that is too short') or diag($said);

my $without = configuration('mark_plan file p;');
$without =~ s/mark_balance [^;]*;//;
($status, $said) = $t->test_conf($without);
ok($status != 0 && $said =~ /"mark_plan" directive needs "mark_balance"/,
    'without mark_balance') or diag($said);

done_testing();
