#!/usr/bin/perl

# Four workers that share their queues: many requests, each with a payload of
# its own, over HTTP/1.1 and HTTP/2, clients that vanish, a backend that fails,
# and a zone that is often full.  Every answer belongs to its request, and
# nothing is left in shared memory.  TEST_MARK_SOAK makes it ten times as long.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use POSIX ();
use Test::Mark;

my $load = $ENV{TEST_MARK_LOAD} || "$FindBin::Bin/../build/mark-load";
my $times = $ENV{TEST_MARK_SOAK} ? 10 : 1;

plan(skip_all => 'no mark-load') unless -x $load;

my $t = Test::Mark->new(workers => 4, log_level => 'warn');

plan(skip_all => 'no module') unless $t->has_module;
plan(skip_all => 'nginx without HTTP/2')
    unless $t->has_option('http_v2_module');

# as in 40-soak.t: wrong rows and cut answers for batches only, as a request
# alone would get them as well

my @faults = (
    [ 60, { status => 500, body => '{"error": "at random"}' } ],
    [ 100, { status => 400, body => '{"error": "at random"}' } ],
    [ 150, { status => 503, body => '{"error": "busy"}' } ],
    [ 100, { close_before => 1 } ],
    [ 150, { reset => 1 } ],
    [ 150, { cut => 150 } ],
    [ 50, { delay => 0.03 } ],
    [ 400, { rows => [ '1', '2', '3' ] } ],
    [ 400, { body => '<html>at random' } ],
);

srand 42;

$t->backend(8081, handler => sub {
    my ($req) = @_;

    for my $f (@faults) {
        next if rand($f->[0]) >= 1;
        return if @{$req->{rows}} <= 2
                  && ($f->[1]{rows} || $f->[1]{cut}
                      || $f->[1]{body} && !$f->[1]{status});
        return $f->[1];
    }

    return { delay => 0.002 };
});

my $http2 = $t->has_version('1.25.1') ? '' : ' http2';
my $on = $t->has_version('1.25.1') ? 'http2 on;' : '';

$t->conf(<<"EOC")->run;
%%GLOBALS%%
worker_rlimit_nofile 8192;
events { worker_connections 4096; }
http {
    %%HTTP%%
    access_log off;
    keepalive_requests 1000000;
    client_body_buffer_size 256k;
    mark_share on 1m;
    upstream b { server 127.0.0.1:%%PORT_8081%% max_fails=0; keepalive 32; }
    proxy_http_version 1.1;
    proxy_set_header Connection "";

    server {
        listen 127.0.0.1:%%PORT_8080%% reuseport;
        listen 127.0.0.1:%%PORT_8082%%$http2 reuseport;
        $on
        location = /mark_status { mark_status json; }
        location / { mark_batch v1; mark_slo 2s; proxy_pass http://b; }
    }
}
EOC

my $free = $t->status->{shared}{bytes_free};
my $filler = 'x' x 20000;

my @running = (
    start('h1', 8080, 25000, '--concurrency', 100, '--slow', 0.005),
    start('h2', 8082, 25000, '--concurrency', 100, '--http2', '--streams', 2),
    start('big', 8080, 2000, '--concurrency', 150, '--body',
          qq({"instances": [["$filler", %u]]}), '--expect',
          qq({"predictions": [["$filler", %u]]})),
);

my %sum;

for my $r (@running) {
    waitpid $r->{pid}, 0;

    my $report = eval {
        JSON::PP->new->decode($t->read_file($r->{report}));
    } or do {
        fail("$r->{name}: a report");
        diag($t->read_file($r->{said}));
        next;
    };

    is($report->{wrong}, 0, "$r->{name}: no wrong answer")
        or diag($t->read_file($r->{said}));
    is($report->{errors}{total}, 0, "$r->{name}: each has an answer")
        or diag($t->read_file($r->{said}));

    $sum{$_} += $report->{$_} for qw(ok aborted);
    $sum{offered} += $report->{offered}{count};
}

cmp_ok($sum{offered}, '>=', 50000, "$sum{offered} requests");
cmp_ok($sum{ok}, '>', 0.85 * $sum{offered}, "$sum{ok} answered with 200");
cmp_ok($sum{aborted}, '>', 0.005 * $sum{offered}, "$sum{aborted} vanished");

my $l = $t->location('/');

cmp_ok($l->{rows} / $l->{batches}, '>', 2, sprintf '%.1f rows a batch',
       $l->{rows} / $l->{batches});
cmp_ok($l->{retries}, '>', 50, "$l->{retries} retries");
cmp_ok($l->{unshared}, '>', 50, "$l->{unshared} found no room");

my $shared;

ok(wait_for(sub {
    $shared = $t->status->{shared};
    return $shared && $shared->{cells} == 0;
}), 'no cell is left');

# but its queue, and what the allocator keeps for the like of it

cmp_ok($shared->{bytes_free}, '>=', $free - 16 * 4096,
    'nor anything else in shared memory');

done_testing();


sub start {
    my ($name, $port, $requests, @options) = @_;

    my %r = (name => $name, report => "$name.json", said => "$name.said");
    my $dir = $t->dir;
    my $pid = fork;
    die "cannot fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        open STDOUT, '>', "$dir/$r{said}";
        open STDERR, '>&', \*STDOUT;

        # no end blocks of the fixture in this process, should exec fail
        exec($load, '--json', "$dir/$r{report}", '--requests',
             $requests * $times, '--timeout', 60, '--abort', 0.02, '--spread',
             '--body', '{"instances": [[%u, "a]%u"], {"id": %u}]}',
             '--expect', '{"predictions": [[%u, "a]%u"], {"id": %u}]}',
             '--expect-status', '200,400,500,502,503,504', @options,
             'http://127.0.0.1:' . $t->port($port)
             . '/v1/models/m:predict')
            or POSIX::_exit(3);
    }

    return { %r, pid => $pid };
}
