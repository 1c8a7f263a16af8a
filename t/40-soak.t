#!/usr/bin/perl

# Many requests, each with a payload of its own, over HTTP/1.1 and HTTP/2,
# from hundreds of connections, with clients that vanish and a backend that
# fails, both at random: every answer belongs to its request, every carrier is
# freed, memory stays flat.  TEST_MARK_SOAK makes it ten times as long.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use Test::Mark;

my $load = $ENV{TEST_MARK_LOAD} || "$FindBin::Bin/../build/mark-load";
my $rounds = $ENV{TEST_MARK_SOAK} ? 40 : 4;
my @each = (30000, 20500);    # over HTTP/1.1 and HTTP/2, a round

plan(skip_all => 'no mark-load') unless -x $load;

my $t = Test::Mark->new(workers => 2, log_level => 'info');

plan(skip_all => 'no module') unless $t->has_module;

# The faults of a backend, each once in so many batches; those that make a
# reply unsplittable are rare, since three in a row stop batching.

my @faults = (
    [ 60, { status => 500, body => '{"error": "at random"}' } ],
    [ 100, { status => 400, body => '{"error": "at random"}' } ],
    [ 150, { status => 503, body => '{"error": "busy"}' } ],
    [ 100, { close_before => 1 } ],
    [ 150, { reset => 1 } ],
    [ 150, { cut => 150 } ],
    [ 100, { delay => 0.03 } ],
    [ 200, { chunked => 7 } ],
    [ 300, { close => 1 } ],
    [ 400, { rows => [ '1', '2', '3' ] } ],
    [ 400, { body => '<html>at random' } ],
    [ 400, { headers => { 'Set-Cookie' => 'a=b' } } ],
);

# An answer that is cut, or of other rows, must not be taken for one that a
# client got alone: a request without batching would get the same wrong rows.
# So those faults are for batches only.

srand 42;

my $b = $t->backend(8081, handler => sub {
    my ($req) = @_;

    for my $f (@faults) {
        next if rand($f->[0]) >= 1;
        return if @{$req->{rows}} <= 2 && ($f->[1]{rows} || $f->[1]{body}
                                           && !$f->[1]{status});
        return $f->[1];
    }

    return;
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
    upstream b { server 127.0.0.1:%%PORT_8081%% max_fails=0; keepalive 32; }
    proxy_http_version 1.1;
    proxy_set_header Connection "";

    server {
        listen 127.0.0.1:%%PORT_8080%%;
        location = /mark_status { mark_status json; }
        location / { mark_batch v1; mark_slo 2s; proxy_pass http://b; }
    }

    server {
        listen 127.0.0.1:%%PORT_8082%%$http2;
        $on
        location / { mark_batch v1; mark_slo 2s; proxy_pass http://b; }
    }
}
EOC

my (%sum, @resident);

for my $round (1 .. $rounds) {
    my @running = (
        start($round, 'h1', 8080, $each[0], '--concurrency', 200,
              '--slow', 0.01),
        start($round, 'h2', 8082, $each[1], '--concurrency', 200, '--http2',
              '--streams', 2),
    );

    for my $r (@running) {
        waitpid $r->{pid}, 0;
        my $status = $? >> 8;

        my $report = eval {
            JSON::PP->new->decode($t->read_file($r->{report}));
        } or do {
            fail("$r->{name}: a report");
            diag($t->read_file($r->{said}));
            next;
        };

        is($report->{wrong}, 0, "$r->{name}: no wrong answer")
            or diag($t->read_file($r->{said}));
        is($status & 2, 0, "$r->{name}: none in its exit status");
        is($report->{errors}{total}, 0, "$r->{name}: each has an answer")
            or diag($t->read_file($r->{said}),
                    JSON::PP->new->pretty->encode($report->{errors}));

        $sum{offered} += $report->{offered}{count};
        $sum{ok} += $report->{ok};
        $sum{aborted} += $report->{aborted};
    }

    push @resident, resident();
}

cmp_ok($sum{offered}, '>=', 200000, "$sum{offered} requests");
cmp_ok($sum{ok}, '>', 0.9 * $sum{offered}, "$sum{ok} answered with 200");
cmp_ok($sum{aborted}, '>', 0.005 * $sum{offered}, "$sum{aborted} vanished");

my ($batches, $rows, $retries, $carriers) = (0, 0, 0, 0);

for my $l (@{$t->status->{locations}}) {
    $batches += $l->{batches};
    $rows += $l->{rows};
    $retries += $l->{retries};
    $carriers += $l->{carriers}{created};
}

cmp_ok($carriers, '>', 1000, "$carriers carriers");
cmp_ok($rows / $batches, '>', 4, sprintf '%.1f rows a batch',
       $rows / $batches);
cmp_ok($retries, '>', 100, "$retries retries");

# the first rounds fill pools and free lists; sanitizers keep what is freed

SKIP: {
    skip 'memory under a sanitizer', 1 if $ENV{TEST_NGINX_BINARY};

    cmp_ok($resident[-1] - $resident[1], '<', 4096,
           "memory is flat: @resident kB");
}

done_testing();


sub start {
    my ($round, $name, $port, $requests, @options) = @_;

    my %r = (name => "$name, round $round", report => "$name.json",
             said => "$name.said");
    my $dir = $t->dir;

    unlink "$dir/$r{report}";

    my $pid = fork;
    die "cannot fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        open STDOUT, '>', "$dir/$r{said}";
        open STDERR, '>&', \*STDOUT;

        # no end blocks of the fixture in this process, should exec fail
        exec($load, '--json', "$dir/$r{report}", '--requests', $requests,
             '--timeout', 60, '--seed', $round, '--abort', 0.02,
             '--body', '{"instances": [[%u, "a]%u"], {"id": %u}]}',
             '--expect', '{"predictions": [[%u, "a]%u"], {"id": %u}]}',
             '--expect-status', '200,400,500,502,503,504', @options,
             'http://127.0.0.1:' . $t->port($port)
             . '/v1/models/m:predict')
            or POSIX::_exit(3);
    }

    return { %r, pid => $pid };
}


sub resident {
    my $sum = 0;

    $sum += $t->resident($_) for $t->workers;

    return $sum;
}
