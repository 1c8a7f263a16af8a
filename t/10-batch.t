#!/usr/bin/perl

# Batches: when they leave, what each member gets back, and what goes alone.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use Test::Mark;
use Time::HiRes qw(time);

my $t = Test::Mark->new;
my $p = $t->port(8080);

# The last word of the URI tells the backend what to do.

my $b = $t->backend(8081, handler => sub {
    my ($req) = @_;

    my ($what) = $req->{uri} =~ m!([^/]*)$!;
    my $rows = $req->{rows} || [];

    return { body => pretty(@$rows) } if $what eq 'pretty';
    return { body => tight(@$rows) } if $what eq 'tight';
    return { body => scalars(@$rows) } if $what eq 'scalars';
    return { body => split_key(@$rows) } if $what eq 'escaped';
    return { delay => $1 / 1000 } if $what =~ /^(\d+)ms$/;
    return;
});

# answers of servers that print in their own way

sub pretty {
    return "{\n    \"predictions\": [\n        " . join(",\n        ", @_)
        . "\n    ]\n}\n";
}

sub tight { '{"predictions":[' . join(',', @_) . ']}' }

sub scalars {
    return '{"model_name": "m [1, 2]", "model_version": 3, "predictions": ['
        . join(', ', @_) . '], "ok": true, "id": null, "cost": 1.50}';
}

sub split_key {
    return qq({"predi\\u0063tions" :\t[ ) . join(' , ', @_) . qq( ]\r\n});
}

sub echo { '{"predictions": [' . join(', ', @_) . ']}' }

my @three = map { $t->backend($_, delay => 0.8) } 8082 .. 8084;

$t->conf(<<'EOC')->run;
%%GLOBALS%%

events {
    worker_connections 512;
}

http {
    %%HTTP%%

    log_format mark '$uri size=$mark_batch_size rows=$mark_batch_rows '
                    'reason=$mark_reason slo=$mark_slo_met '
                    'queue=$mark_queue_time batch=$mark_batch_time '
                    'upstream=$upstream_addr $upstream_status';
    access_log %%DIR%%/mark.log mark;

    upstream b {
        server 127.0.0.1:%%PORT_8081%%;
        keepalive 16;
    }

    upstream three {
        server 127.0.0.1:%%PORT_8082%%;
        server 127.0.0.1:%%PORT_8083%%;
        server 127.0.0.1:%%PORT_8084%%;
    }

    # a batch that is not full must not hurry where "full" is meant

    mark_max_queue_delay 10s;

    server {
        listen 127.0.0.1:%%PORT_8080%%;

        proxy_http_version 1.1;
        proxy_set_header Connection "";

        location /auto/ {
            mark_batch v1;
            mark_max_queue_delay auto;
            proxy_pass http://b;
        }

        location /full/ {
            mark_batch v1;
            mark_max_batch_size 4;
            proxy_pass http://b;
        }

        location /fit/ {
            mark_batch v1;
            mark_max_batch_size 4;
            mark_max_queue_delay 300ms;
            proxy_pass http://b;
        }

        location /ten/ {
            mark_batch v1;
            mark_max_batch_size 10;
            proxy_pass http://b;
        }

        location /delay/ {
            mark_batch v1;
            mark_max_queue_delay 500ms;
            proxy_pass http://b;
        }

        location /bytes/ {
            mark_batch v1;
            mark_max_batch_bytes 1000;
            proxy_pass http://b;
        }

        location /small/ {
            mark_batch v1;
            mark_max_queue_delay 500ms;
            mark_max_queue_size 2;
            proxy_pass http://b;
        }

        location /slo/ {
            mark_batch v1;
            mark_max_batch_size 2;
            mark_slo 1500ms;
            proxy_pass http://b;
        }

        location /late/ {
            mark_batch v1;
            mark_max_batch_size 2;
            mark_slo 50ms;
            proxy_pass http://b;
        }

        location /three/ {
            mark_batch v1;
            mark_max_queue_delay auto;
            proxy_pass http://three;
        }

        location = /mark_status {
            mark_status json;
        }
    }
}
EOC

my ($r, @r, @seen, $s);


# all at once; each body is a list of rows, in one string as it is sent

sub ride {
    my ($uri, @rows) = @_;

    return http_many([map {
        { uri => $uri, body => qq({"instances": [$_]}) }
    } @rows], port => $p);
}


sub bodies { join "\n", map { "$_->{status} $_->{body}" } @_ }

sub expected { join "\n", map { "200 $_" } @_ }


# Full by rows: four of one row are one request, byte for byte.

@r = ride('/full/', 1 .. 4);
is(bodies(@r), expected(map { echo($_) } 1 .. 4), 'full: each its own row');

@seen = $b->requests;
is(scalar @seen, 1, 'full: one request');
is(scalar @{$seen[0]{rows}}, 4, 'full: of four rows');
is($seen[0]{headers}{'content-length'}, length $seen[0]{body},
    'full: its length');
is($seen[0]{method} . $seen[0]{uri}, 'POST/full/', 'full: its line');
is($r[2]{headers}{'content-type'}, 'application/json', 'full: content type');
is($r[2]{headers}{'content-length'}, length $r[2]{body}, 'full: length');

$s = $t->location('/full/');
is($s->{dispatched}{full}, 1, 'full: why');
is($s->{requests}, 4, 'full: requests');
is($s->{carriers}{created}, 1, 'full: one carrier');

# Twelve at once are three batches of four, whoever shares with whom.

$b->clear;
@r = ride('/full/', 1 .. 12);
is(bodies(@r), expected(map { echo($_) } 1 .. 12), 'three batches');
is(join(' ', map { scalar @{$_->{rows}} } $b->requests), '4 4 4',
    'three batches: sizes');

# Several rows a request: 1 + 2 + 1 fill it, and are cut where they belong.

$b->clear;
@r = ride('/full/', '1', '[2, 3], {"a": [4]}', '"5, 6"');
is(bodies(@r), expected(echo(1), echo('[2, 3]', '{"a": [4]}'), echo('"5, 6"')),
    'several rows a request');
is(scalar($b->requests), 1, 'several rows: one request');

# A batch never has more than its rows: 3 + 3 does not fit into four.

$b->clear;
@r = ride('/fit/', '1, 2, 3', '4, 5, 6', '7', '8');
is(bodies(@r), expected(echo(1, 2, 3), echo(4, 5, 6), echo(7), echo(8)),
    'three and three and one and one');

@seen = $b->requests;
ok(!(grep { @{$_->{rows}} > 4 } @seen), 'never more rows than the limit');
is(scalar(map { @{$_->{rows}} } @seen), 8, 'each row once');

# More rows than that at once: alone, unchanged, and without waiting.

$b->clear;
$r = http_post($p, '/full/', '{"instances": [1, 2,  3, 4, 5] }');
is(bodies($r), expected(echo(1 .. 5)), 'oversized');
is(($b->requests)[0]{body}, '{"instances": [1, 2,  3, 4, 5] }',
    'oversized: as it was');
is($t->location('/full/')->{passed}{rows}, 1, 'oversized: counted');

# Full by bytes.

my @rows = map { '"' . $_ x (250 - length '{"instances": [""]}') . '"' }
    'a' .. 'd';

$b->clear;
@r = ride('/bytes/', @rows);
is(bodies(@r), expected(map { echo($_) } @rows), 'full by bytes');
is(scalar($b->requests), 1, 'full by bytes: one request');
is($t->location('/bytes/')->{dispatched}{bytes}, 1, 'full by bytes: why');

$b->clear;
my $long = '"' . 'x' x 1000 . '"';
@r = (ride('/bytes/', $long),
    http_request($p, uri => '/bytes/', chunked => 100,
                 body => qq({"instances": [$long]})));
is(bodies(@r), expected((echo($long)) x 2), 'too many bytes');
is($t->location('/bytes/')->{passed}{bytes}, 2, 'too many bytes: counted');

# A fixed delay.

$b->clear;
@r = ride('/delay/', 1 .. 5);
is(bodies(@r), expected(map { echo($_) } 1 .. 5), 'delay: each its own row');
is(scalar($b->requests), 1, 'delay: one request');
is($t->location('/delay/')->{dispatched}{delay}, 1, 'delay: why');
ok(!(grep { $_->{time} < 0.4 } @r[0 .. 4]), 'delay: waited for');

# Behind a batch in flight: the first leaves at once, what comes while it is
# away leaves together.

$b->clear;
@r = http_many([map { { uri => '/auto/50ms',
                        body => qq({"instances": [$_]}) } } 1 .. 40],
    port => $p, concurrency => 8, keepalive => 1);
is(bodies(@r), expected(map { echo($_) } 1 .. 40), 'auto: each its own row');

@seen = $b->requests;
cmp_ok(scalar @seen, '<=', 20, 'auto: batches');
is(scalar(map { @{$_->{rows}} } @seen), 40, 'auto: each row once');

my $overlaps = grep { $seen[$_]{time} - $seen[$_ - 1]{time} < 0.05 }
    1 .. $#seen;
$s = $t->location('/auto/')->{dispatched};
cmp_ok($overlaps, '<=', $s->{overdue}, 'auto: one batch at a time');
cmp_ok($s->{idle}, '>=', 1, 'auto: why');

# A batch of one is the request itself.

my $before = $t->status->{carriers}{created};
my $odd = qq(\r\n{ "signature_name" : "s\\u0061",\t"instances":[ 1.0,\n2 ]});

$b->clear;
for my $n (1 .. 3) {
    $r = http_post($p, '/auto/one', $odd, 'Accept-Encoding' => 'gzip',
                   'If-None-Match' => '"x"');
    is(bodies($r), expected(echo('1.0', '2')), "one: $n");
}

@seen = $b->requests;
is($seen[0]{body}, $odd, 'one: the body as it was');
is($seen[0]{headers}{'accept-encoding'}, 'gzip', 'one: all of its headers');
is($seen[0]{headers}{'if-none-match'}, '"x"', 'one: conditional ones too');
is($t->status->{carriers}{created}, $before, 'one: no carrier');

# What comes back is what the backend would have said to each alone: numbers
# keep their text, brackets in strings are no brackets.

my @values = ('1.0', '1e-7', '123456789012345678901', '-0.0E+00',
    '"]}, \"[{\\\\"', '"\u00e9\ud83d\ude00\/"', "\"\xc3\xa9 \xf0\x9f\x98\x80\"",
    '{"a": [1, {"]": null}], "b c": "}"}', '[[], {}, [[1.50]]]',
    'true');

my %backends = (echo => \&echo, pretty => \&pretty, tight => \&tight,
    scalars => \&scalars, escaped => \&split_key);

for my $how (sort keys %backends) {
    $b->clear;

    @r = ride("/ten/$how", @values);
    is(bodies(@r), expected(map { $backends{$how}->($_) } @values),
        "$how: one row each");
    is(scalar($b->requests), 1, "$how: one batch");

    @r = ride("/ten/$how", "$values[0], $values[1],$values[4]",
        " $values[5] ,\n$values[6]", "\t$values[7] ", $values[8],
        "$values[9] , $values[2],$values[3]");
    is(bodies(@r), expected(
        $backends{$how}->(@values[0, 1, 4]),
        $backends{$how}->(@values[5, 6]), $backends{$how}->($values[7]),
        $backends{$how}->($values[8]), $backends{$how}->(@values[9, 2, 3])),
        "$how: several rows each");
    is(scalar($b->requests), 2, "$how: one batch again");
}

# NaN is not JSON, but TensorFlow Serving and Python write and read it.

@r = ride('/ten/tight', 'NaN', '-Infinity, [NaN]', ('Infinity') x 7);
is(bodies(@r), expected(tight('NaN'), tight('-Infinity', '[NaN]'),
    (tight('Infinity')) x 7), 'NaN and its kin');
is($t->location('/ten/')->{failed_batches}, 0, 'no batch failed');

# As many as may are waiting.

$b->clear;
@r = ride('/small/', 1 .. 6);
is(scalar(grep { $_->{status} == 200 } @r), 2, 'queue size: two wait');

my @busy = grep { $_->{status} != 200 } @r;
is(scalar @busy, 4, 'queue size: the others do not');
is(join(' ', map { $_->{status} } @busy), '503 503 503 503',
    'queue size: status');
is($busy[0]{headers}{'content-type'}, 'application/json', 'queue size: JSON');
ok(JSON::PP::decode_json($busy[0]{body})->{error}, 'queue size: error');
like($busy[0]{headers}{'retry-after'}, qr/^\d+$/, 'queue size: Retry-After');
is($busy[0]{headers}{'x-mark-reason'}, 'rejected', 'queue size: reason');

$s = $t->location('/small/');
is("$s->{rejected} $s->{requests}", '4 6', 'queue size: counted');
is(bodies(ride('/small/', 7)), expected(echo(7)), 'queue size: room again');
is(scalar($b->requests), 2, 'queue size: none of them was sent');

# A deadline: learned from full batches, kept by one that would wait for 10 s.

for my $n (1 .. 8) {
    @r = ride('/slo/20ms', $n, -$n);
    is(bodies(@r), expected(echo($n), echo(-$n)), "slo: learns $n");
}

($r) = ride('/slo/20ms', 9);
is(bodies($r), expected(echo(9)), 'slo: alone');
cmp_ok($r->{time}, '>', 0.5, 'slo: waited for company');
cmp_ok($r->{time}, '<', 5, 'slo: not for all of the delay');

$s = $t->location('/slo/');
is($s->{dispatched}{deadline}, 1, 'slo: why');
is($s->{dispatched}{full}, 8, 'slo: why the others');
cmp_ok($s->{slo}{met} + $s->{slo}{missed}, '==', 17, 'slo: judged');
cmp_ok($s->{slo}{met}, '>=', 12, 'slo: met');

# One that nobody can meet is late, but not for all of the delay either.

for my $n (1 .. 8) {
    @r = ride('/late/60ms', $n, -$n);
    is(bodies(@r), expected(echo($n), echo(-$n)), "late: answered $n");
}

is($t->location('/late/')->{slo}{missed}, 16, 'late: missed');

($r) = ride('/late/60ms', 9);
is(bodies($r), expected(echo(9)), 'late: alone');
cmp_ok($r->{time}, '<', 5, 'late: does not wait for what is lost');

# Three servers: once they are known, three batches at a time.

is(bodies(ride('/three/', 0)), expected(echo(0)), 'three servers');
is($t->location('/three/')->{dispatched}{idle}, 1, 'three servers: the first');

my @c = map {
    my $c = Test::Mark::HTTP->new($p);
    $c->send(uri => '/three/', body => qq({"instances": [$_]}));
    my $want = $_;
    wait_for(sub { $t->location('/three/')->{in_flight} == $want }, 5);
    $c;
} 1 .. 3;

$s = $t->location('/three/');
is($s->{dispatched}{idle} + $s->{dispatched}{overdue}, 4,
    'three servers: all have left');
is($s->{dispatched}{overdue}, 0, 'three servers: none had to wait');
is(bodies(map { $_->response } @c), expected(map { echo($_) } 1 .. 3),
    'three servers: answers');

my @shares = map { scalar(() = $_->requests) } @three;
is(join(' ', sort @shares), '1 1 2', 'three servers: shared');

# What a line of the log can tell.

sub logged {
    my ($uri, $more) = @_;

    return wait_for(sub {
        $t->read_file('mark.log') =~ m!^\Q$uri\E $more!m;
    }, 5);
}

my $time = qr/\d\.\d{6}/;
my $addr = '127.0.0.1:' . $t->port(8081);

my $end = qr/queue=$time batch=$time upstream=$addr 200$/m;

ok(logged('/full/', qr/size=4 rows=4 reason=full slo=- $end/),
    'log: a full batch');
ok(logged('/full/', qr/size=3 rows=4 reason=full slo=-/),
    'log: requests and rows');
ok(logged('/full/', qr/size=- rows=- reason=rows slo=- .* upstream=$addr 200/),
    'log: passed on');
ok(logged('/delay/', qr/size=5 rows=5 reason=delay slo=- queue=0\.[45]/),
    'log: a delay');
ok(logged('/auto/one', qr/size=1 rows=2 reason=idle slo=- queue=$time/),
    'log: one');
ok(logged('/small/', qr/size=- rows=- reason=rejected slo=- /),
    'log: rejected');
ok(logged('/slo/20ms', qr/size=1 rows=1 reason=deadline slo=[01] /),
    'log: a deadline');
ok(logged('/late/60ms', qr/size=2 rows=2 reason=full slo=0 /),
    'log: missed');

done_testing;
