#!/usr/bin/perl

# A failed batch is tried again by halves: who is to blame is found in few
# requests, whatever happens meanwhile, and a backend that fails every batch is
# not sent batches for ever.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::Mark;
use Test::Mark::HTTP;
use Test::Mark::HTTP2;

my $t = Test::Mark->new;

plan(skip_all => 'nginx without HTTP/2')
    unless $t->has_option('http_v2_module');

my $gate = $t->dir . '/gate';

# What becomes of the rows is the last word of the URI, of the form WORD, or
# WORD-N: requests of N rows then wait until there is a gate.

my $backend = $t->backend(8081, handler => sub {
    my ($req) = @_;

    my @rows = @{$req->{rows} || []};
    my ($word, $held) = $req->{uri} =~ m!/([a-z0-9]+)(?:-(\d+))?(?:\?.*)?$!;

    if ($held && @rows == $held) {
        for (1 .. 2000) {
            last if -e $gate;
            select undef, undef, undef, 0.01;
        }
    }

    my $error = { status => 400, body => '{"error": "refused"}',
                  headers => { 'X-Why' => 'rows' } };

    return $error if $word eq 'many' && @rows > 1 && "@rows" !~ /fine/;
    return { delay => 0.1 } if $word eq 'late' && "@rows" =~ /teach/;
    return { %$error, delay => 0.4 } if $word eq 'late' && @rows == 8;
    return if "@rows" !~ /poison/;

    return { %$error, delay => 2 } if $word eq 'slow' && @rows < 8;
    return { close_before => 1 } if $word eq 'dying' && @rows < 4;
    return { %$error, status => $word } if $word =~ /^\d+$/;
    return { rows => [grep { !/poison/ } @rows] } if $word eq 'less';
    return { body => "{\"predictions\": [@rows" } if $word eq 'broken';
    return $error;
});

my $conf = <<'EOC';
%%GLOBALS%%

events {
    worker_connections 1024;
}

http {
    %%HTTP%%

    log_format mark '$uri $status size=$mark_batch_size reason=$mark_reason '
                    'upstream=$upstream_status';
    access_log %%DIR%%/mark.log mark;

    upstream backend {
        server 127.0.0.1:%%PORT_8081%%;
    }

    # full, or waiting for longer than any test

    mark_max_queue_delay 30s;
    mark_max_batch_size 8;

    server {
        listen 127.0.0.1:%%PORT_8080%%;
        listen 127.0.0.1:%%PORT_8443%% http2;

        location /8/ {
            mark_batch v1;
            proxy_pass http://backend;
        }

        location /32/ {
            mark_batch v1;
            mark_max_batch_size 32;
            proxy_pass http://backend;
        }

        location /33/ {
            mark_batch v1;
            mark_max_batch_size 33;
            proxy_pass http://backend;
        }

        location /slo/ {
            mark_batch v1;
            mark_slo $http_x_slo_ms 30s;
            proxy_pass http://backend;
        }

        location /page/ {
            mark_batch v1;
            proxy_intercept_errors on;
            error_page 400 =200 /page;
            proxy_pass http://backend;
        }

        location /random/ {
            mark_batch v1;
            mark_max_batch_size 32;
            mark_max_queue_delay 5ms;
            proxy_pass http://backend;
        }

        location = /page {
            return 200 "page";
        }

        location /alone/ {
            proxy_pass http://backend;
        }

        location = /mark_status {
            mark_status json;
        }
    }
}
EOC

$t->conf($conf)->run;

my $p = $t->port(8080);
my @found = (16, 16, 8, 8, 4, 4, 2, 2, 1, 1);
my (@r, $before, $h);


sub body { qq({"instances": [$_[0]]}) }

sub ride {
    my ($uri, @rows) = @_;

    $backend->clear;

    return http_many([map { { uri => $uri, body => body($_) } } @rows],
                     port => $p, timeout => 20);
}

# the same on one connection, so that they come in this order

sub ride_in_order {
    my ($uri, @rows) = @_;

    $backend->clear;

    my $c = Test::Mark::HTTP2->new($t->port(8443));
    my @r = map { $c->response($_) }
        map { $c->post($uri, body($_)) } @rows;

    $c->close;
    return @r;
}

sub said { join "\n", map { "$_->{status} $_->{body}" } @_ }

sub echo { "200 {\"predictions\": [$_[0]]}" }

# what all are to be told: the poisoned that they are refused

sub right {
    join "\n", map { /poison/ ? '400 {"error": "refused"}' : echo($_) } @_;
}

# all headers, but the time of day

sub headers { [map { $_->[0] eq 'Date' ? 'Date' : @$_ } @{$_[0]{header_list}}] }

# rows of the requests that the backend received, the largest first

sub batches {
    join ' ', sort { $b <=> $a }
        map { scalar @{$_->{rows} || []} } $backend->requests;
}

# how often the row that was there most often was there

sub most {
    my %n;
    $n{$_}++ for map { @{$_->{rows}} } $backend->requests;
    return (sort { $b <=> $a } values %n)[0];
}

# n rows, these of them poisoned

sub rows {
    my ($n, @bad) = @_;

    my %bad = map { $_ => 1 } @bad;

    return map { $bad{$_} ? "\"poison $_\"" : "\"good $_\"" } 0 .. $n - 1;
}

# requests are held from now on; those that were are no longer

sub hold {
    http_post($p, '/alone/400', body(0));
    unlink $gate;
}

sub client {
    my ($uri, $row) = @_;

    my $c = Test::Mark::HTTP->new($p);
    $c->send(method => 'POST', uri => $uri, body => body($row));
    return $c;
}

sub over {
    my ($name, $location) = @_;

    ok($t->reached($location, queued => 0, in_flight => 0),
        "$name: nothing left");
}


# One of 32, wherever it is: ten requests more, and each client has what it
# would have alone.

for my $word (qw(400 500 less broken)) {
    for my $bad (0, 13, 31) {
        my $alone = http_post($p, "/alone/$word", body("\"poison $bad\""));
        my @rows = rows(32, $bad);

        @r = ride("/32/$word?$bad", @rows);
        my $name = "$word of 32, $bad";
        my ($got) = splice @r, $bad, 1;
        splice @rows, $bad, 1;

        is(said(@r), right(@rows), "$name: the others");
        is(said($got), said($alone), "$name: the one");
        is_deeply(headers($got), headers($alone), "$name: its headers");
        is(batches(), "32 @found", "$name: found by halves");
    }
}

my $c = $t->location('/32/');
is("$c->{failed_batches} $c->{dispatched}{full} $c->{batches}", '12 12 12',
    'counted: batches, but not their parts');
is($c->{retries}, 12 * 32, 'counted: members, once each');
is($c->{passed}{unsplit}, 0, 'batching goes on');

# A client that sees it all: one line, with all tries of its request.

@r = ride('/8/400', rows(8, 0));

ok(wait_for(sub {
    my $log = $t->read_file('mark.log');
    my $line = 'reason=retry upstream=400';
    my $n = () = $log =~ m!^/8/400 200 size=4 $line : 200$!mg;

    return $n == 4 && $log =~ m!^/8/400 200 size=2 $line : 400 : 200$!m
           && $log =~ m!^/8/400 400 size=1 $line : 400 : 400 : 400$!m;
}, 5), 'log: all tries');

# Some more of them, and all; and a number that has no half.

for my $case ([32, 6, 7], [32, 0, 15], [32, 5, 20], [32, 3, 17, 18, 30],
              [32, 0 .. 31], [33, 0], [33, 32], [33, 0 .. 32])
{
    my ($n, @bad) = @$case;
    my $name = @bad < 5 ? "@bad of $n" : "all of $n";

    @r = ride("/$n/400", rows(@$case));
    is(said(@r), right(rows(@$case)), "$name: each its own");
    cmp_ok(scalar(() = $backend->requests), '<=', 1 + $n + 2 * 6,
        "$name: not many more than one each");
    cmp_ok(most(), '<=', $n == 32 ? 6 : 7, "$name: nobody too often");
}

@r = ride_in_order('/32/400', rows(32, 6, 7));
is(said(@r), right(rows(32, 6, 7)), 'two that stand together: each its own');
is(batches(), "32 @found", 'two that stand together: by halves as well');

@r = ride_in_order('/8/400', '"a", "b", "c"', '"poison", "d"', '"e", "f", "g"');
is(said(@r), join("\n", echo('"a", "b", "c"'), '400 {"error": "refused"}',
    echo('"e", "f", "g"')), 'several rows a member');
is(batches(), '8 5 3 3 2', 'several rows a member: halves of members');

# What error_page makes of it is not the member's answer.

for my $n (1 .. 4) {
    @r = ride('/page/400', rows(8, 2));
    is($r[2]{body}, 'page', "page: $n");
    is(batches(), '8 4 4 2 2 1 1', "page: $n: the member's fault");
}

# One that fails every batch: after three in a row it has no more of them.  It
# is not counted when a member was to blame, or may have been.

for my $n (1 .. 4) {
    ride('/8/400?member', rows(8, 5));
}

is(batches(), '8 4 4 2 2 1 1', 'a member: not paused');

for my $n (1 .. 4) {
    $backend->clear;
    hold();

    $before = $t->location('/8/')->{aborted};
    my @clients = map { client('/8/many-8', $_) } 1 .. 8;
    $backend->wait_requests(1);
    $clients[3]->close;
    ok($t->reached('/8/', aborted => $before + 1), "may have been: $n: left");
    $t->write_file('gate', '');
    is(said(map { $clients[$_]->response } 0 .. 2, 4 .. 7),
        right(1 .. 3, 5 .. 8), "may have been: $n: the others");
    like(batches(), qr/^8 4 3 /, "may have been: $n: in a batch");
}

$before = $t->location('/8/')->{passed}{unsplit};

for my $n (1 .. 2) {
    ride('/8/many?mixed', @$_) for [1 .. 8], [1 .. 8], [('"fine"') x 8];
}

for my $n (1 .. 3) {
    is($t->location('/8/')->{passed}{unsplit}, $before, "refused: $n: not yet");
    @r = ride('/8/many', 1 .. 8);
    is(said(@r), right(1 .. 8), "refused: $n: each its own");
    like(batches(), qr/\A8 4 4( 2 2)?( 1){8}\z/, "refused: $n: in a batch");
}

ok($t->wait_log(qr/\[warn\].*a\ batch\ of\ 8\ has\ status\ 400,\ which\ was\ no
    \ member's\ fault,\ as\ those\ before:.*"\/8\/"\ are\ not\ batched/x),
    'refused: told');

@r = ride('/8/many', 1 .. 8);
is(said(@r), right(1 .. 8), 'paused: each its own');
is(batches(), '1 1 1 1 1 1 1 1', 'paused: alone');
is($t->location('/8/')->{passed}{unsplit} - $before, 8, 'paused: counted');

# Clients that leave while the halves are with the backend.

for my $gone (map({ [$_] } 0 .. 7), [0 .. 3], [4 .. 7], [1 .. 3], [0, 7],
              [0 .. 7])
{
    my $name = "left in a half: @$gone";
    my %gone = map { $_ => 1 } @$gone;
    my @left = grep { !$gone{$_} } 0 .. 7;
    my @rows = rows(8, 0);

    hold();
    $before = $t->location('/8/');
    my @clients = map { client('/8/400-4', $_) } @rows;

    ok($t->reached('/8/', retries => $before->{retries} + 8, in_flight => 2),
        "$name: halved");
    $clients[$_]->close for @$gone;
    ok($t->reached('/8/', aborted => $before->{aborted} + @$gone),
        "$name: noticed");
    $t->write_file('gate', '');

    is(said(map { $clients[$_]->response } @left), right(@rows[@left]),
        "$name: the others");
    over($name, '/8/');
}

# And while theirs wait, since four are there.

{
    my @rows = rows(24, 0, 8, 16);
    my @clients;

    hold();
    $before = $t->location('/8/');
    $backend->freeze;

    for my $n (1 .. 3) {
        push @clients, map { client('/8/400-4', $_) }
            @rows[8 * $n - 8 .. 8 * $n - 1];
        ok($t->reached('/8/', in_flight => $n), "left waiting: $n");
    }

    $backend->resume;
    ok($t->reached('/8/', retries => $before->{retries} + 16, queued => 8),
        'left waiting: four halves at a time');

    # alike of all three batches, as it can be any whose halves wait

    my @gone = grep { $_ % 8 == 1 || $_ % 8 > 3 } 0 .. 23;
    my @left = grep { $_ % 8 != 1 && $_ % 8 < 4 } 0 .. 23;

    $clients[$_]->close for @gone;
    ok($t->reached('/8/', aborted => $before->{aborted} + @gone),
        'left waiting: noticed');
    $t->write_file('gate', '');

    is(said(map { $clients[$_]->response } @left), right(@rows[@left]),
        'left waiting: the others');
    over('left waiting', '/8/');
}

# A deadline that passes while the half is with the backend.

@r = http_many([map { { uri => '/slo/slow', body => body($_),
                        headers => [ 'X-SLO-MS' => 1500 ] } } rows(8, 1)],
               port => $p);
is(join(' ', sort map { $_->{status} } @r), '200 200 200 200 504 504 504 504',
    'expired: one half');
is("$r[1]{status} $r[1]{headers}{'x-mark-reason'}", '504 expired',
    'expired: that of the poisoned');
is($t->location('/slo/')->{expired}, 4, 'expired: counted');
is($t->location('/slo/')->{failed_batches}, 1, 'expired: one batch');

# One that was late before stands behind all: those before it in its half are
# tried in time.

for my $n (1 .. 16) {
    ride('/slo/late', map { "\"teach $n $_\"" } 1 .. 8);
}

$backend->clear;

my @requests = map {
    { uri => '/slo/late', body => body("\"late $_\""),
      $_ == 2 ? (headers => [ 'X-SLO-MS' => 3 ]) : () }
} 1 .. 8;

@r = http_many(\@requests, port => $p);
my @seen = $backend->requests;

is($seen[0]{rows}[7], '"late 2"', 'late: the last of the batch');
is($r[1]{status}, 504, 'late: expired');
is(said(@r[0, 2 .. 7]), right(map { "\"late $_\"" } 1, 3 .. 8),
    'late: the others');
is(batches(), '8 4 3', 'late: those before it stay together');

# A backend that dies in between: its members are told, nobody asks again.

@r = ride('/8/dying', rows(8, 6));
is(join(' ', sort map { $_->{status} } @r), '200 200 200 200 200 200 502 502',
    'dying: the half that it was');
is($r[6]{status}, 502, 'dying: that of the poisoned');
is(batches(), '8 4 4 2 2', 'dying: no more');

{
    hold();
    $before = $t->location('/8/');
    my @clients = map { client('/8/400-4', $_) } rows(8, 2);

    ok($t->reached('/8/', retries => $before->{retries} + 8, in_flight => 2),
        'dead: halved');
    $backend->stop;
    is(join(' ', map { $_->response->{status} } @clients),
        join(' ', (502) x 8), 'dead: to all');
    over('dead', '/8/');
    is(scalar(() = $t->log =~ /connect\(\) failed/g), 0, 'dead: no more');
    $backend->start;
}

# HTTP/2: resets in between, a connection that is lost, one that is not.

for my $how (qw(none reset abort)) {
    my @rows = rows(8, 3);

    hold();
    $before = $t->location('/8/');
    $h = Test::Mark::HTTP2->new($t->port(8443));
    my @ids = map { $h->post('/8/400-4', body($_)) } @rows;

    ok($t->reached('/8/', retries => $before->{retries} + 8, in_flight => 2),
        "h2, $how: halved");

    if ($how eq 'reset') {
        $h->reset($_) for @ids[0, 6];
        ok($t->reached('/8/', aborted => $before->{aborted} + 2),
            'h2, reset: noticed');
    }

    if ($how eq 'abort') {
        $h->abort;
        ok($t->reached('/8/', aborted => $before->{aborted} + 8),
            'h2, abort: noticed');
    }

    $t->write_file('gate', '');

    if ($how ne 'abort') {
        my @left = $how eq 'none' ? (0 .. 7) : (1 .. 5, 7);
        is(said(map { $h->response($ids[$_]) } @left), right(@rows[@left]),
            "h2, $how: answers");
        $h->close;
    }

    over("h2, $how", '/8/');
}

# Any that are to blame, of any number of rows, and some that leave.

srand 42;

for my $round (1 .. 3) {
    my %bad;
    $bad{int rand 200} = 1 while keys %bad < 40;

    my @rows = map {
        my $i = $_;
        join ', ', map({ "[$round, $i, $_]" } 1 .. rand 4),
            $bad{$i} ? "\"poison $i\"" : "\"good $i\"";
    } 0 .. 199;

    my @leave = map { rand > 0.9 ? 0.2 * rand : undef } @rows;

    $backend->clear;
    @r = http_many([map { { uri => '/random/400', body => body($rows[$_]),
                            defined $leave[$_] ? (leave => $leave[$_]) : () }
                   } 0 .. 199], port => $p, concurrency => 60);

    my @stay = grep { !defined $leave[$_] } 0 .. 199;

    is(said(@r[@stay]), right(@rows[@stay]), "random, $round: each its own");
    cmp_ok(most(), '<=', 6, "random, $round: nobody too often");
    over("random, $round", '/random/');
}

is($t->location('/random/')->{passed}{unsplit}, 0, 'random: batching goes on');
cmp_ok($t->location('/random/')->{failed_batches}, '>', 10, 'random: failed');

# A reload, and the end, while they are tried again.

for my $signal (qw(HUP QUIT)) {
    my @rows = rows(8, 4);

    hold();
    $before = $t->location('/8/');
    my ($old) = $t->workers;
    my @clients = map { client('/8/400-4', $_) } @rows;

    ok($t->reached('/8/', retries => $before->{retries} + 8, in_flight => 2),
        "$signal: halved");

    $signal eq 'HUP' ? $t->reload($conf) : $t->signal('QUIT');

    $t->write_file('gate', '');
    is(said(map { $_->response } @clients), right(@rows), "$signal: answers");
    $_->close for @clients;
    ok($signal eq 'HUP' ? $t->wait_gone($old) : $t->end, "$signal: gone");
}

done_testing;
