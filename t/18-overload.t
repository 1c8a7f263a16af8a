#!/usr/bin/perl

# Requests that cannot meet their deadline, mark_timeout_action, and batches of
# mark_preferred_batch_size.  The backend is stopped while they queue up, so
# that nothing here depends on how long anything takes.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::Mark;
use Test::Mark::HTTP2;

my $t = Test::Mark->new;

plan(skip_all => 'no module') unless $t->has_module;

# how long a request takes is the number in front of its row, in ms

my $b = $t->backend(8081, serial => 1, handler => sub {
    my ($ms) = $_[0]{body} =~ /"(\d+)ms/;
    return { delay => ($ms || 0) / 1000 };
});

my $h2 = $t->has_option('http_v2_module') ? 'http2' : '';

$t->conf(<<"EOC")->run;
%%GLOBALS%%
events { }
http {
    %%HTTP%%
    log_format slo '\$request_uri \$status \$mark_reason <\$mark_slo_met>';
    access_log %%DIR%%/access.log slo;
    mark_timeout_action reject;
    mark_slo \$http_x_slo_ms;
    server {
        listen 127.0.0.1:%%PORT_8080%%;
        listen 127.0.0.1:%%PORT_8443%% $h2;
        location / {
            mark_batch v1;
            proxy_pass http://127.0.0.1:%%PORT_8081%%;
        }
        location /recovers {
            mark_batch v1;
            proxy_pass http://127.0.0.1:%%PORT_8081%%;
        }
        location /late {
            mark_batch v1;
            mark_timeout_action delay;
            proxy_pass http://127.0.0.1:%%PORT_8081%%;
        }
        location /preferred {
            mark_batch v1;
            mark_preferred_batch_size 2 4;
            proxy_pass http://127.0.0.1:%%PORT_8081%%;
        }
        location /capped {
            mark_batch v1;
            mark_preferred_batch_size 2 4 64;
            mark_max_batch_size 3;
            proxy_pass http://127.0.0.1:%%PORT_8081%%;
        }
        location /within {
            mark_batch v1;
            mark_slo 60s;
            mark_max_batch_size 5;
            proxy_pass http://127.0.0.1:%%PORT_8081%%;
        }
        location = /mark_status { mark_status json; }
        location = /metrics { mark_status prometheus; }
    }
}
EOC

my $port = $t->port(8080);


sub client {
    my ($uri, $row, $slo) = @_;

    my $c = Test::Mark::HTTP->new($port);

    $c->send(method => 'POST', uri => $uri,
             body => "{\"instances\": [\"$row\"]}",
             headers => [ defined $slo ? ('X-Slo-Ms' => $slo) : () ]);

    return $c;
}


sub ok_for {
    my ($c, $row, $what) = @_;

    my $r = $c->response;

    ok($r->{status} == 200 && $r->{body} eq "{\"predictions\": [\"$row\"]}",
       $what) or diag("$r->{status} $r->{body}");
}


# so many that took so long are known; then the backend stops, with one that
# takes as long in it

sub busy {
    my ($uri, $ms, $n) = @_;

    client($uri, "${ms}ms")->response for 1 .. $n;

    $b->freeze;

    my $c = client($uri, "${ms}ms first");
    $t->reached($uri, in_flight => 1);

    return $c;
}


sub is_late {
    my ($r, $what) = @_;

    is($r->{status}, 503, "$what: 503");
    is($r->{headers}{'x-mark-reason'}, 'timeout', "$what: why");
    like($r->{headers}{'retry-after'}, qr/^[1-9]\d*$/, "$what: Retry-After");
    is($r->{headers}{'content-type'}, 'application/json', "$what: JSON");
    is($r->{body}, '{"error": "the deadline of this request cannot be met"}',
       "$what: its text");
}


# nothing is known: only what is past its deadline is rejected

{
    $b->freeze;

    my $first = client('/', 'first');
    $t->reached('/', in_flight => 1);

    my $long = client('/', 'long', 60000);
    is_late(client('/', 'short', 20)->response, 'cold');
    is($t->location('/')->{timeouts}, 1, 'cold: counted');

    $b->resume;
    ok_for($first, 'first', 'cold: the first');
    ok_for($long, 'long', 'cold: the one with time');

    my $l = $t->location('/');
    is($l->{slo}{missed}, 1, 'cold: missed once');
    is($l->{slo}{met}, 1, 'cold: met once');
    ok($t->wait_access_log(qr!^/ 503 timeout <0>$!m), 'cold: in the log');
}

# a batch is known to take 50 ms at least

{
    my $first = busy('/', 50, 10);
    my $before = $t->location('/');

    $b->clear;

    my $long = client('/', 'long', 60000);
    my $none = client('/', 'none');

    is_late(client('/', 'short', 5)->response, 'learned');

    # who leaves is not rejected

    my $gone = client('/', 'gone', 30000);
    $t->reached('/', queued => 3);
    $gone->close;
    ok($t->reached('/', queued => 2), 'learned: one leaves');

    my $l = $t->location('/');
    is($l->{aborted} - $before->{aborted}, 1, 'learned: aborted');
    is($l->{timeouts} - $before->{timeouts}, 1, 'learned: one timeout');

  SKIP: {
        skip('nginx without HTTP/2', 6) unless $h2;

        my $c = Test::Mark::HTTP2->new($t->port(8443));
        my $id = $c->request(method => 'POST', uri => '/',
                             body => '{"instances": ["two"]}',
                             headers => ['X-Slo-Ms' => 5]);

        is_late($c->response($id), 'HTTP/2');
        is($t->location('/')->{timeouts} - $before->{timeouts}, 2,
           'HTTP/2: counted');
    }

    $b->resume;
    ok_for($first, '50ms first', 'learned: the first');
    ok_for($long, 'long', 'learned: the one with time');
    ok_for($none, 'none', 'learned: the one without a deadline');

    ok(!grep({ $_->{body} =~ /short|two|gone/ } $b->requests),
       'learned: the others never reached the backend');
}

# which mark_status shows

{
    my $l = $t->location('/')->{learned};

    cmp_ok($l->{base_seconds} + $l->{row_seconds}, '>=', 0.02,
           'status: what a batch takes');
    cmp_ok($l->{concurrency}, '>=', 1, 'status: batches at one time');
    ok(defined $l->{residual_seconds} && !exists $l->{slo_rows},
       'status: no mark_slo of its own');
    is($t->location('/capped')->{learned}, undef, 'status: nothing learned');

    my $text = http_get($port, '/metrics')->{body};
    my %value;

    $value{$1}{$2} = $3
        while $text =~ /^nginx_mark_learned_(\w+)\{.*location="(.*)"\} (.*)$/mg;

    is($value{"${_}_seconds"}{'/'} + 0, $l->{"${_}_seconds"}, "Prometheus: $_")
        for qw(base row residual);
    is($value{concurrency}{'/'}, $l->{concurrency}, 'Prometheus: concurrency');
    ok(!defined $value{base_seconds}{'/capped'} && !$value{slo_rows},
       'Prometheus: what is not known is not there');
}

# it was slow, and is fast again: asked from time to time, this is found out

{
    my $first = busy('/recovers', 150, 10);

    is_late(client('/recovers', 'now', 100)->response, 'slow');
    $b->resume;
    ok_for($first, '150ms first', 'slow: answered');

    my $good = 0;

    ok(wait_for(sub {
        my $r = client('/recovers', 'fast', 100)->response;
        $good = $r->{status} == 200 ? $good + 1 : 0;
        return $good == 10;
    }), 'slow: then fast again, and all are served');
}

# delay: behind the others, but served

{
    my $first = busy('/late', 50, 10);

    my $short = client('/late', 'short', 5);
    $t->reached('/late', queued => 1);
    my $long = client('/late', 'long', 60000);
    $t->reached('/late', queued => 2);

    $b->resume;
    ok_for($short, 'short', 'delay: late, and answered');
    ok_for($long, 'long', 'delay: as the others');
    ok_for($first, '50ms first', 'delay: and the first');

    my $l = $t->location('/late');
    is($l->{timeouts}, 0, 'delay: none is rejected');
    is("$l->{slo}{met} $l->{slo}{missed}", '1 1', 'delay: met and missed');
}

# batches of preferred sizes, and all that is left over

sub sizes {
    my ($uri, $n) = @_;

    # it has been seen to take a second, so that it is not soon overdue

    my $first = busy($uri, 1000, 1);
    $b->clear;

    my @c;

    for (1 .. $n) {
        push @c, client($uri, $_);
        $t->reached($uri, queued => $_);
    }

    $b->resume;
    ok_for($first, '1000ms first', "$uri: the first");
    ok_for($c[$_ - 1], $_, "$uri: request $_") for 1 .. $n;

    return join ' ', map { scalar @{$_->{rows}} }
                     grep { $_->{body} !~ /first/ } $b->requests;
}

is(sizes('/preferred', 7), '4 2 1', 'preferred: 7 rows');
is(sizes('/capped', 3), '2 1', 'preferred: none above mark_max_batch_size');

# rows that are served within mark_slo

client('/within', 'some')->response for 1 .. 9;

is($t->location('/within')->{learned}{slo_rows}, 5, 'status: slo_rows');
like(http_get($port, '/metrics')->{body},
     qr!^nginx_mark_learned_slo_rows\{.*location="/within"\} 5$!m,
     'Prometheus: slo_rows');

# the configuration

for (['mark_timeout_action drop;', 'invalid value "drop"'],
     ['mark_timeout_action reject; mark_timeout_action delay;',
      'is duplicate'],
     ['mark_timeout_action;', 'invalid number of arguments'],
     ['mark_preferred_batch_size;', 'invalid number of arguments'],
     ['mark_preferred_batch_size 0;', 'invalid size "0"'],
     ['mark_preferred_batch_size 4 2;', 'invalid size "2"'],
     ['mark_preferred_batch_size 4 4;', 'invalid size "4"'],
     ['mark_preferred_batch_size many;', 'invalid size "many"'],
     ['mark_preferred_batch_size 1 2; mark_preferred_batch_size 4;',
      'is duplicate'],
     ['mark_preferred_batch_size ' . join(' ', 1 .. 17) . ';',
      'too many sizes'])
{
    my ($line, $want) = @$_;

    for my $block ('', 'server { ', 'server { location / { ') {
        my $end = '}' x ($block =~ tr/{//);
        my ($status, $said) = $t->test_conf("%%GLOBALS%%\nevents { }\n"
            . "http { $block$line $end }\n");

        ok($status == 1 && $said =~ /$want/, "nginx -t: $block$line")
            or diag($said);
    }
}

my ($status, $said) = $t->test_conf("%%GLOBALS%%\nevents { }\n"
    . "http { %%HTTP%% mark_preferred_batch_size " . join(' ', 1 .. 16)
    . "; mark_timeout_action delay; server { location / {\n"
    . "mark_batch v1; mark_timeout_action reject;\n"
    . "proxy_pass http://127.0.0.1:1; } } }\n");

is($status, 0, 'nginx -t: sixteen sizes, and another action within')
    or diag($said);

done_testing();
