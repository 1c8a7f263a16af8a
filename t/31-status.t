#!/usr/bin/perl

# mark_status, as JSON and for Prometheus, after a load that is known; and the
# variables in the access log.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use Test::Mark;
use Test::Mark::Metrics qw(parse_metrics);

my $t = Test::Mark->new(workers => 2);

my $backend = $t->backend(8081, handler => sub {
    my ($req) = @_;

    return { status => 400, body => '{"error": "poison"}' }
        if $req->{uri} =~ m!^/poison! && @{$req->{rows}} > 1;
    return { delay => 0.2 } if $req->{uri} =~ m!^/late!;
    return;
});

$t->conf(<<'EOC')->run;
%%GLOBALS%%

events {
}

http {
    %%HTTP%%

    log_format marks '$request_method $uri $status <$mark_batch_size> '
                     '<$mark_batch_rows> <$mark_queue_time> '
                     '<$mark_batch_time> <$mark_reason> <$mark_slo_met>';
    access_log %%DIR%%/access.log marks;

    upstream b {
        server 127.0.0.1:%%PORT_8081%%;
        keepalive 4;
    }

    proxy_http_version 1.1;
    proxy_set_header Connection "";

    mark_max_queue_delay 100ms;
    mark_max_batch_size 4;

    server {
        listen 127.0.0.1:%%PORT_8080%%;
        server_name one;

        location /load {
            mark_batch v1;
            mark_slo 60s;
            proxy_pass http://b;
        }

        location /poison {
            mark_batch v1;
            proxy_pass http://b;
        }

        location /late {
            mark_batch v1;
            mark_slo 150ms;
            proxy_pass http://b;
        }

        location /rejects {
            mark_batch v1;
            mark_max_queue_delay 1s;
            mark_max_queue_size 2;
            proxy_pass http://b;
        }

        location /down {
            mark_batch v1;
            mark_slo 60s;
            proxy_pass http://127.0.0.1:%%PORT_8082%%;
            error_page 502 /elsewhere;
        }

        location /down-named {
            mark_batch v1;
            proxy_pass http://127.0.0.1:%%PORT_8082%%;
            error_page 502 = @named;
        }

        location @named {
            return 200 named;
        }

        location /elsewhere {
            return 200 elsewhere;
        }

        location ~ "^/re/\"quoted\"\\?x\d*/(a|b)$" {
            mark_batch v1;
            proxy_pass http://b;
        }

        location /outside {
            proxy_pass http://b;
        }

        location = /mark_status {
            mark_status;
        }

        location = /json {
            mark_status json;
        }

        location = /metrics {
            mark_status prometheus;
        }
    }

    server {
        listen 127.0.0.1:%%PORT_8090%%;
        server_name twin;

        location /same {
            mark_batch v1;
            proxy_pass http://b;
        }
    }

    server {
        listen 127.0.0.1:%%PORT_8091%%;
        server_name twin;

        location /same {
            mark_batch v1;
            proxy_pass http://b;
        }
    }

    server {
        listen 127.0.0.1:%%PORT_8092%%;
        server_name 'a"\b';

        location /same {
            mark_batch v1;
            proxy_pass http://b;
        }
    }
}
EOC

my $p = $t->port(8080);
my (@r, $r, $c);

# Before anything has happened.

$r = http_get($p, '/mark_status');
is($r->{headers}{'content-type'}, 'application/json', 'JSON: type');
is($r->{headers}{'content-length'}, length $r->{body}, 'JSON: length');
is($r->{body}, http_get($p, '/json')->{body}, 'JSON is what comes unasked');

my $status = JSON::PP::decode_json($r->{body});
like($status->{version}, qr/^\d+\.\d+\.\d+$/, 'JSON: version');
is($status->{queued}, 0, 'JSON: queued');
is($status->{in_flight}, 0, 'JSON: in flight');
is(join(' ', map { $_->{location} } @{$status->{locations}}),
    join(' ', qw(/load /poison /late /rejects /down /down-named),
         '^/re/"quoted"\\?x\d*/(a|b)$', qw(/same /same)),
    'JSON: locations') or diag($r->{body});
is(join(' ', map { $_->{server} } @{$status->{locations}}),
    join(' ', ('one') x 7, 'twin', 'a"\b'), 'JSON: servers');
is(sum($_), 0, "JSON: zeros: $_->{location}") for @{$status->{locations}};

# Methods.

$r = http_request($p, uri => '/mark_status', method => 'HEAD');
is($r->{status}, 200, 'HEAD');
cmp_ok($r->{headers}{'content-length'}, '>', 1000, 'HEAD: length');
is(http_post($p, '/mark_status', '{}')->{status}, 405, 'POST');
is(http_post($p, '/metrics', '{}')->{status}, 405, 'POST, prometheus');
is(http_request($p, uri => '/metrics', method => 'DELETE')->{status}, 405,
    'DELETE');
is(http_request($p, uri => '/mark_status', method => 'GET',
                body => 'x' x 100000)->{status}, 200, 'GET with a body');

$r = http_get($p, '/metrics');
is($r->{headers}{'content-type'}, 'text/plain; version=0.0.4',
    'Prometheus: type');
is($r->{headers}{'content-length'}, length $r->{body}, 'Prometheus: length');

# A load on two workers, every request with 1 to 3 rows.

my @rows = map { $_ % 3 + 1 } 1 .. 240;
my $rows = 0;
$rows += $_ for @rows;

@r = post($p, '/load', map { join ',', (7) x $_ } @rows);
is(scalar(grep { $_->{status} == 200 } @r), 240, 'load: answered');
is(scalar(grep { $r[$_]{body} =~ tr/7// == $rows[$_] } 0 .. 239), 240,
    'load: as many rows');

# a request is logged when all of it has been counted
logged('load', qr!POST /load 200 .*!, 240);

$c = $t->location('/load');
is($c->{requests}, 240, 'load: requests');
is($c->{rows}, $rows, 'load: rows');
is($c->{batches}, scalar($backend->requests), 'load: batches');
is(sum($c->{dispatched}), $c->{batches}, 'load: reasons');
is(sum($c->{passed}), 0, 'load: none passed');
is($c->{$_}, 0, "load: $_")
    for qw(failed_batches retries expired rejected aborted queued in_flight);
is($c->{slo}{met}, 240, 'load: slo met');
is($c->{slo}{missed}, 0, 'load: slo missed');
is($c->{carriers}{created}, $c->{carriers}{freed}, 'load: carriers');
cmp_ok($c->{carriers}{created}, '>', 0, 'load: batches of many');
cmp_ok($c->{carriers}{created}, '<=', $c->{batches}, 'load: and of one');
is($c->{batch_rows}{count}, $c->{batches}, 'load: rows: count');
is($c->{batch_rows}{sum}, $rows, 'load: rows: sum');
is($c->{batch_rows}{le}{4}, $c->{batches}, 'load: rows: none larger');
is($c->{batch_seconds}{count}, $c->{batches}, 'load: batch time: count');
is($c->{queue_seconds}{count}, 240, 'load: queue time: count');
cmp_ok($c->{queue_seconds}{sum}, '>', 0, 'load: queue time: sum');

# Each kind of request, its counters and its line in the log.

my $time = qr/<\d+\.\d{6}>/;

@r = post($p, '/load', 1);
logged('alone', qr!POST /load 200 <1> <1> $time $time <delay> <1>!);

@r = post_on_one('/load/four', 1 .. 4);
logged('batched', qr!POST /load/four 200 <4> <4> $time $time <full> <1>!, 4);

http_post($p, '/load/x', $_) for '{"instances": []}', '{"instances": 1}', '',
    '[', '{"instances": [1,2,3,4,5]}';
http_get($p, '/load/get');
http_post($p, '/load/coded', '{"instances": [1]}', 'Content-Encoding' => 'x');
logged('no rows', qr!POST /load/x \d+ <-> <-> $time $time <no_rows> <1>!);
logged('unsupported',
    qr!POST /load/x 400 <-> <-> $time $time <unsupported> <1>!);
logged('invalid', qr!POST /load/x 400 <-> <-> $time $time <invalid> <1>!, 2);
logged('too many rows', qr!POST /load/x 200 <-> <-> $time $time <rows> <1>!);
logged('GET', qr!GET /load/get 400 <-> <-> <-> <-> <-> <->!);
logged('encoded', qr!POST /load/coded 200 <-> <-> $time $time <encoded> <1>!);
$c = $t->location('/load');
is($c->{passed}{$_->[0]}, $_->[1], "passed: $_->[0]")
    for ['no_rows', 1], ['unsupported', 1], ['invalid', 2], ['rows', 1],
        ['method', 1], ['encoded', 1], ['bytes', 0], ['subrequest', 0];
is($c->{requests}, 245, 'passed are not queued');

@r = post_on_one('/poison', 1 .. 4);
is(scalar(grep { $_->{status} == 200 } @r), 4, 'retried: answered');
logged('retried', qr!POST /poison 200 <1> <1> $time $time <retry> <->!, 4);
$c = $t->location('/poison');
is("$c->{failed_batches} $c->{retries} $c->{requests} $c->{batches}",
    '1 4 4 1', 'retried: counters');

@r = post_on_one('/late', 1 .. 4);
is(scalar(grep { $_->{status} == 200 } @r), 4, 'late: answered');
logged('late', qr!POST /late 200 <4> <4> $time $time <full> <0>!, 4);
$c = $t->location('/late');
is("$c->{slo}{met} $c->{slo}{missed}", '0 4', 'late: slo');

@r = post_on_one('/rejects', 1, 1, 1);
is(join(' ', sort map { $_->{status} } @r), '200 200 503', 'rejects');
($r) = grep { $_->{status} == 503 } @r;
is($r->{headers}{'x-mark-reason'}, 'rejected', 'rejected: reason');
logged('rejected', qr!POST /rejects 503 <-> <-> <-> <-> <rejected> <->!);
is($t->location('/rejects')->{rejected}, 1, 'rejected: counter');
is($t->location('/rejects')->{requests}, 3, 'rejected: one of the requests');

@r = post_on_one('/down', 1 .. 4);
is(join(' ', map { "$_->{status} $_->{body}" } @r),
    join(' ', ('502 elsewhere') x 4), 'down');
logged('redirected',
    qr!POST|GET /elsewhere 502 <4> <4> $time $time <full> <0>!, 4);
$c = $t->location('/down');
is("$c->{slo}{met} $c->{slo}{missed}", '0 4', 'down: slo');

@r = post_on_one('/down-named', 1 .. 4);
is(join(' ', map { "$_->{status} $_->{body}" } @r),
    join(' ', ('200 named') x 4), 'down, named');
logged('redirected, named',
    qr!POST /down-named 200 <4> <4> $time $time <full> <->!, 4);

http_post($p, '/outside', '{"instances": [1]}');
logged('outside', qr!POST /outside 200 <-> <-> <-> <-> <-> <->!);
logged('status itself', qr!GET /mark_status 200 <-> <-> <-> <-> <-> <->!);

# Servers of one name are one; other names are not.

@r = (post($t->port(8090), '/same', 1 .. 3),
      post($t->port(8091), '/same', 1 .. 2), post($t->port(8092), '/same', 1));
is(scalar(grep { $_->{status} == 200 } @r), 6, 'twins: answered');
is($t->location('/same', 'twin')->{requests}, 5, 'twins: together');
is($t->location('/same', 'a"\b')->{requests}, 1, 'twins: another');

@r = post($p, '/re/%22quoted%22%3Fx12/b', 1, 2);
logged('quoted', qr!POST /re/\S+ 200 .*!, 2);
is($t->location('^/re/"quoted"\\?x\d*/(a|b)$')->{requests}, 2,
    'a quoted location');

# Prometheus says the same.

$status = $t->status;
my $metrics = parse_metrics(http_get($p, '/metrics')->{body});

cmp_ok(scalar keys %$metrics, '>', 500, 'Prometheus: samples');

for my $l (@{$status->{locations}}) {
    my $labels = qq(server="$l->{server}",location="$l->{location}");
    my $name = "Prometheus: $labels";

    # as the text has them
    $labels = sprintf 'server="%s",location="%s"',
        map { s/([\\"])/\\$1/gr } $l->{server}, $l->{location};

    my %expected = (
        (map { ("nginx_mark_${_}_total{$labels}" => $l->{$_}) }
            qw(requests rows failed_batches retries expired rejected aborted
               body_files unshared)),
        (map { ("nginx_mark_slo_${_}_total{$labels}" => $l->{slo}{$_}) }
            qw(met missed)),
        (map { ("nginx_mark_carriers_${_}_total{$labels}"
                    => $l->{carriers}{$_}) } qw(created freed)),
        (map { (qq(nginx_mark_batches_total{$labels,reason="$_"})
                    => $l->{dispatched}{$_}) } keys %{$l->{dispatched}}),
        (map { (qq(nginx_mark_passed_total{$labels,reason="$_"})
                    => $l->{passed}{$_}) } keys %{$l->{passed}}),
        "nginx_mark_queued_requests{$labels}" => $l->{queued},
        "nginx_mark_in_flight_batches{$labels}" => $l->{in_flight},
    );

    my @wrong = grep {
        !defined $metrics->{$_} || $metrics->{$_} != $expected{$_}
    } sort keys %expected;

    is("@wrong", '', $name);

    for (qw(batch_rows queue_seconds batch_seconds)) {
        my ($metric, $h) = ("nginx_mark_$_", $l->{$_});

        # cumulative, the same in both, and the last bucket has all

        my @le = sort { bound($a) <=> bound($b) } keys %{$h->{le}};
        my @in = map { $h->{le}{$_} } @le;
        my @out = map {
            $metrics->{qq(${metric}_bucket{$labels,le="$_"})}
        } @le;

        is("@out", "@in", "$name, $metric: buckets");
        is($le[-1], '+Inf', "$name, $metric: the last");
        is($in[-1], $h->{count}, "$name, $metric: has all");
        ok(!(grep { $in[$_] < $in[$_ - 1] } 1 .. $#in),
            "$name, $metric: cumulative");
        is($metrics->{"${metric}_count{$labels}"}, $h->{count},
            "$name, $metric: count");
        cmp_ok($metrics->{"${metric}_sum{$labels}"}, '==', $h->{sum},
            "$name, $metric: sum");
    }
}

done_testing;


sub bound { $_[0] eq '+Inf' ? 9**9**9 : $_[0] }


sub post {
    my ($port, $uri, @rows) = @_;

    return http_many([map { {
        uri => $uri, body => qq({"instances": [$_]}),
    } } @rows], port => $port, concurrency => 60);
}


# Until all went by the same worker: there are two, and each has queues of its
# own, so the other one sleeps.

sub post_on_one {
    my ($uri, @rows) = @_;

    my @workers = $t->workers;

    $t->freeze($workers[0]);
    my @got = post($p, $uri, @rows);
    $t->thaw($workers[0]);

    return @got;
}


# all numbers in a structure

sub sum {
    my ($v) = @_;

    my $sum = 0;

    if (ref $v) {
        $sum += sum($_) for values %$v;

    } elsif (defined $v && $v =~ /^\d+(?:\.\d+)?$/) {
        $sum = $v;
    }

    return $sum;
}


# at least so many lines of the access log are like this

sub logged {
    my ($name, $regex, $n) = @_;

    my $found;

    ok(wait_for(sub {
        $found = () = $t->access_log =~ /^(?:$regex)$/mg;
        return $found >= ($n || 1);
    }, 5), "log: $name") or diag("$found lines");
}
