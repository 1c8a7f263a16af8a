#!/usr/bin/perl

# A batch that fails is taken apart: only who is to blame gets the error, and
# a backend in trouble gets no storm.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::Mark;
use Time::HiRes qw(sleep);

my $t = Test::Mark->new;

my $backend = $t->backend(8081, handler => sub {
    my ($req) = @_;

    my @rows = @{$req->{rows} || []};
    my ($what) = $req->{uri} =~ m!([^/?]*)(?:\?.*)?$!;
    my ($word, $code) = $what =~ /(poison|status)(\d+)$/ ? ($1, $2) : ('', 0);

    return if $what =~ s/^batch_// && @rows == 1;
    return if $word eq 'poison' && "@rows" !~ /poison/;

    return { status => $code, reason => 'Poisoned', body => qq({"e": "$code"}),
             headers => { 'X-Why' => $word, 'Content-Type' => 'x/y' } }
        if $code;

    return { body => 'text' } if "@rows" =~ /"text"/ && @rows > 1;

    return { rows => [@rows, 'null'] } if $what eq 'more';
    return { rows => [@rows[1 .. $#rows]] } if $what eq 'less';
    return { rows => [] } if $what eq 'none';
    return { body => '{"error": "no predictions"}' } if $what eq 'other';
    return { body => 'Hello' } if $what eq 'text';
    return { body => '' } if $what eq 'empty';
    return { body => '{"predictions": [' . join(',', @rows) . ']' }
        if $what eq 'open';
    return { body => '{"predictions": [' . join(',', @rows) . ']} {}' }
        if $what eq 'behind';
    return { body => '{"predictions": {"a": [' . join(',', @rows) . ']}}' }
        if $what eq 'object';
    return { body => '{"predictions": [' . join(',', @rows)
             . '], "predictions": [' . join(',', @rows) . ']}' }
        if $what eq 'twice';
    return { body => '{"inputs": [' . join(',', @rows) . '], "predictions": ['
             . join(',', @rows) . ']}' } if $what eq 'leak_before';
    return { body => '{"predictions": [' . join(',', @rows)
             . '], "debug": {"rows": [' . join(',', @rows) . ']}}' }
        if $what eq 'leak_behind';

    return { delay => 0.15, @rows > 1 ? (status => 500) : () }
        if $what eq 'slow500';
    return { delay => 0.4, @rows > 1 ? (status => 500) : () }
        if $what eq 'late500';
    return;
});

$t->port(8083);

$t->conf(<<'EOC')->run;
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

    server {
        listen 127.0.0.1:%%PORT_8080%%;

        location /8/ {
            mark_batch v1;
            mark_max_batch_size 8;
            proxy_pass http://backend;
        }

        location /32/ {
            mark_batch v1;
            mark_max_batch_size 32;
            proxy_pass http://backend;
        }

        location /slo/ {
            mark_batch v1;
            mark_max_batch_size 8;
            mark_slo 200ms;
            proxy_pass http://backend;
        }

        location /intercept/ {
            mark_batch v1;
            mark_max_batch_size 8;
            proxy_intercept_errors on;
            error_page 400 500 /page;
            proxy_pass http://backend;
        }

        location /dead/ {
            mark_batch v1;
            mark_max_batch_size 8;
            proxy_pass http://127.0.0.1:%%PORT_8083%%;
        }

        location /replaced/ {
            mark_batch v1;
            mark_max_batch_size 8;
            proxy_set_body '{"instances": ["$arg_x"]}';
            proxy_pass http://backend;
        }

        location /unread/ {
            mark_batch v1;
            mark_max_batch_size 8;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
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

my $p = $t->port(8080);
my (@r, $r, $s);


# one request for each list of rows

sub ride {
    my ($uri, @rows) = @_;

    $backend->clear;

    return http_many([map {
        { uri => $uri, body => "{\"instances\": [$_]}" }
    } @rows], port => $p, timeout => 20);
}

sub said { join "\n", map { "$_->{status} $_->{body}" } @_ }

# all headers, but the time of day

sub headers { [map { $_->[0] eq 'Date' ? 'Date' : @$_ } @{$_[0]{header_list}}] }

sub echoes { join "\n", map { "200 {\"predictions\": [$_]}" } @_ }

# rows of the requests that the backend received, the largest first

sub batches {
    join ' ', sort { $b <=> $a }
        map { scalar @{$_->{rows} || []} } $backend->requests;
}


# Each of eight alone, once, after halves that failed both; one of them may
# have been halved again before the other was over.

my $apart = qr/\A8 4 4( 2 2)?( 1){8}\z/;


sub logged {
    my ($regex, $name) = @_;

    ok(wait_for(sub { $t->log =~ $regex }, 5), $name);
}


# A poisoned member among 8 and among 32: exactly one error, and it is the
# same that the member would have got without batches; t/19-halves.t has more.

for my $n (8, 32) {
    for my $code (400, 422, 500, 501) {
        my @rows = 1 .. $n;
        my $bad = $n == 8 ? 0 : 17;
        $rows[$bad] = '"poison"';

        @r = ride("/$n/poison$code", @rows);
        my ($got) = splice @r, $bad, 1;
        splice @rows, $bad, 1;

        is(said(@r), echoes(@rows), "$code of $n: the others");
        is(batches(), $n == 8 ? '8 4 4 2 2 1 1' : '32 16 16 8 8 4 4 2 2 1 1',
            "$code of $n: found by halves");

        my $alone = http_post($p, "/alone/poison$code",
                              '{"instances": ["poison"]}');

        is("$got->{reason} " . said($got), "Poisoned $code {\"e\": \"$code\"}",
            "$code of $n: the one");
        is_deeply(headers($got), headers($alone),
            "$code of $n: as without batches");
        is($got->{body}, $alone->{body}, "$code of $n: to the byte");
    }
}

$s = $t->location('/32/');
is($s->{retries}, 4 * 32, 'counted: retries');
is($s->{failed_batches}, 4, 'counted: failed batches');
is($s->{passed}{unsplit}, 0, 'batching goes on');

# Several rows a member, and members with nothing in common.

@r = ride('/8/poison400', '1, 2, 3', '"poison", 4', '5, 6, 7');
is(said(@r), join("\n", echoes('1, 2, 3'), '400 {"e": "400"}',
    echoes('5, 6, 7')), 'several rows');

@r = ride('/8/poison500', ('"poison"') x 8);
is(said(@r), join("\n", ('500 {"e": "500"}') x 8), 'all of them');

@r = ride('/intercept/poison400', '"poison"', 1 .. 7);
is(said(@r), join("\n", '400 page', echoes(1 .. 7)),
    'intercepted: only the one');

# A batch that failed while its members are fine by themselves.

@r = ride('/8/batch_status500', 1 .. 8);
is(said(@r), echoes(1 .. 8), 'too much at once: each alone');
like(batches(), $apart, 'too much at once: once');

# What is not the members' fault is not tried again.

for my $code (401, 403, 408, 429, 502, 503, 504) {
    @r = ride("/8/status$code", 1 .. 8);
    is(said(@r), join("\n", ("$code {\"e\": \"$code\"}") x 8),
        "$code: to all");
    is($r[7]{headers}{'x-why'}, 'status', "$code: header");
    is(batches(), '8', "$code: not tried again");
}

@r = ride('/dead/x', 1 .. 8);
is(join(' ', map { $_->{status} } @r), join(' ', (502) x 8), 'dead: to all');
is($t->location('/dead/')->{retries}, 0, 'dead: not tried again');

my $refused = () = $t->log =~ /connect\(\) failed/g;
is($refused, 1, 'dead: one try to connect');

# Answers that do not fit: nobody gets a row that may be another's.

for my $what (qw(more less none text empty open behind twice)) {
    @r = ride("/8/batch_$what", 1 .. 8);
    is(said(@r), echoes(1 .. 8), "$what: each its own");
    like(batches(), $apart, "$what: each alone, after halves");
}

for my $what (qw(other object leak_before leak_behind)) {
    @r = ride("/8/batch_$what", 1 .. 8);
    is(said(@r), echoes(1 .. 8), "$what: each its own");
    is(batches(), '8 1 1 1 1 1 1 1 1', "$what: each alone at once");
}

# Alone each gets just what the backend says, fitting or not.

for my $what (qw(more text leak_behind)) {
    my $alone = http_post($p, "/alone/$what", '{"instances": [5]}');
    @r = ride("/8/$what", (5) x 8);
    is(said(@r), join("\n", (said($alone)) x 8), "$what: as without batches");
}

# After three of those in a row the queue gives up for a while, and says so;
# others of the same location go on.

my $passed = $t->location('/8/')->{passed}{unsplit};

for my $n (1 .. 3) {
    @r = ride('/8/batch_less?pause', 1 .. 8);
    is(said(@r), echoes(1 .. 8), "pause: $n");
    like(batches(), $apart, "pause: $n: tried");
}

logged(qr/\[warn\].*has\ not\ the\ rows\ that\ were\ sent,\ as\ those\ before:
    .*"\/8\/"\ are\ not\ batched\ for\ \d+\ seconds/x, 'pause: told');

@r = ride('/8/batch_less?pause', 1 .. 8);
is(said(@r), echoes(1 .. 8), 'paused: each its own');
is(batches(), '1 1 1 1 1 1 1 1', 'paused: not batched');
is($t->location('/8/')->{passed}{unsplit} - $passed, 8, 'paused: counted');

@r = ride('/8/batch_less?other', 1 .. 8);
like(batches(), $apart, 'paused: others are not');

# One that fits in between, and the count begins again.

for my $n (1 .. 2) {
    for my $what (qw(text text echo)) {
        ride('/32/mixed', map { "\"$what\"" } 1 .. 32);
    }
}

is($t->location('/32/')->{passed}{unsplit}, 0, 'in between: not paused');

# No more than four of them at a time.

@r = ride('/32/slow500', 1 .. 32);
is(said(@r), echoes(1 .. 32), 'a few at a time: each its own');

my @seen = $backend->requests;
is((grep { @{$_->{rows}} == 1 } @seen), 32, 'a few at a time: all');

my $most = 0;

for my $i (1 .. $#seen) {
    my $beside = grep { abs($_->{time} - $seen[$i]{time}) < 0.15
                        && $_->{time} <= $seen[$i]{time} } @seen[1 .. $#seen];
    $most = $beside if $beside > $most;
}

cmp_ok($most, '<=', 4, 'a few at a time: at most four');
cmp_ok($most, '>=', 2, 'a few at a time: but some');

# Those that leave meanwhile are not tried.

my @requests = map {
    { uri => '/8/late500', body => "{\"instances\": [$_]}",
      $_ > 2 ? (leave => 0.2) : () }
} 1 .. 8;

$backend->clear;
@r = http_many(\@requests, port => $p);
is(said(@r[0, 1]), echoes(1, 2), 'left: the others');
is(batches(), '8 1 1', 'left: nobody asks for them');

# Too late to be tried again.

@r = ride('/slo/late500', 1 .. 8);
is(said(@r), join("\n", (said($r[0])) x 8), 'expired: the same to all');
is($r[0]{status}, 504, 'expired: status');
like($r[0]{body}, qr/\A\{"error": "[^"]*deadline[^"]*"\}\z/, 'expired: JSON');
is($r[0]{headers}{'content-type'}, 'application/json', 'expired: type');
is($r[0]{headers}{'x-mark-reason'}, 'expired', 'expired: reason');
is(batches(), '8', 'expired: not tried');
is($t->location('/slo/')->{expired}, 8, 'expired: counted');
is($t->location('/slo/')->{slo}{missed}, 8, 'expired: missed');

# A location that does not send what it got.

my $x = join '', 'a' .. 'f';

for my $name ('replaced', 'unread') {
    my @want = $name eq 'replaced' ? echoes(("\"$x\"") x 8)
        : join("\n", ('400 {"error": "no instances"}') x 8);

    @r = ride("/$name/echo?x=$x", 1 .. 8);
    is(said(@r), "@want", "$name: answers of the backend");

    logged(qr/\[warn\].*location\ "\/$name\/"\ does\ not\ send\ the\ request's
        \ own\ body\ \(proxy_set_body/x, "$name: told");

    @r = ride("/$name/echo?x=$x", 1 .. 8);
    is(said(@r), "@want", "$name: answers again");
    is(scalar(() = $backend->requests), 8, "$name: not batched any longer");
    is($t->location("/$name/")->{passed}{replaced}, 8, "$name: counted");
    is($t->location("/$name/")->{carriers}{created}, 1, "$name: one carrier");
}

my $warnings = () = $t->log =~ /\[warn\].*does not send the request's/g;
is($warnings, 2, 'told once each');

# The log has both tries of a member.

ok(wait_for(sub {
    $t->read_file('mark.log')
        =~ m!^/8/poison400 200 size=1 reason=retry upstream=400 : 200$!m
}, 5), 'log: both tries');

done_testing;
