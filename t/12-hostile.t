#!/usr/bin/perl

# Hostile bodies among good ones: a body that could break the joined one is
# passed on alone, is answered by the backend itself, and costs its neighbours
# nothing.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Digest::MD5 qw(md5_hex);
use Test::Mark;

my $t = Test::Mark->new;

# A backend that answers a body that it was sent alone with the body's digest,
# so that one can see that it came unchanged.  A joined body must be what a
# simple parser makes rows of.

my $backend = $t->backend(8081, handler => sub {
    my ($req) = @_;

    return { status => 400, reason => 'Bad Request',
             headers => { 'X-Digest' => md5_hex($req->{body}) },
             body => '{"error": "' . md5_hex($req->{body}) . '"}' }
        if !$req->{rows} || $req->{body} =~ /hostile/
           || $req->{body} !~ /\A\{"instances": \[.*\]\}\z/s;

    return;
});

$t->conf(<<'EOC')->run;
%%GLOBALS%%

events {
    worker_connections 1024;
}

http {
    %%HTTP%%

    upstream backend {
        server 127.0.0.1:%%PORT_8081%%;
        keepalive 16;
    }

    server {
        listen 127.0.0.1:%%PORT_8080%%;
        client_max_body_size 8m;

        location / {
            mark_batch v1;
            mark_max_batch_size 32;
            mark_max_queue_delay 100ms;
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }

        location = /mark_status {
            mark_status json;
        }
    }
}
EOC

my $p = $t->port(8080);


# Every body has the word in it, or no list of rows that the backend reads.

my $deep = sub { ('[' x $_[0]) . '"hostile"' . (']' x $_[0]) };
my $many = join ',', map { "\"k$_\": 0" } 1 .. 600;

my @invalid = (
    'breaks out of the list' => '{"instances": [1]],"x":[[2]}',
    'breaks out, and closes' => '{"instances": ["hostile"]], "x": [[2]]}',
    'breaks out of the object' => '{"instances": [1]}, {"instances": [2]}',
    'smuggles rows' => '{"instances": ["hostile"]} , "instances": [1, 2]}',
    'unbalanced: none' => '{"instances": ["hostile"',
    'unbalanced: list' => '{"instances": ["hostile"]',
    'unbalanced: object' => '{"instances": ["hostile"}',
    'unbalanced: crossed' => '{"instances": [["hostile"}}]]}',
    'unbalanced: string' => '{"instances": ["hostile]}',
    'escape at the end' => '{"instances": ["hostile\\"]}',
    'bad escape' => '{"instances": ["hostile\\x41"]}',
    'short escape' => '{"instances": ["hostile\\u00"]}',
    'comma at the end' => '{"instances": ["hostile",]}',
    'comma at the start' => '{"instances": [,"hostile"]}',
    'two commas' => '{"instances": ["hostile",,2]}',
    'no comma' => '{"instances": ["hostile" 2]}',
    'comma in the object' => '{"instances": ["hostile"],}',
    'no colon' => '{"instances" ["hostile"]}',
    'single quotes' => "{'instances': ['hostile']}",
    'bare key' => '{instances: ["hostile"]}',
    'comment' => '{"instances": ["hostile" /* ]} */]}',
    'line comment' => qq({"instances": ["hostile" // ]}\n]}),
    'deep' => '{"instances": [' . $deep->(100) . ']}',
    'very deep' => '{"instances": [' . $deep->(5000) . ']}',
    'open deep' => '{"instances": ' . ('[' x 5000),
    'hex number' => '{"instances": ["hostile", 0x10]}',
    'octal number' => '{"instances": ["hostile", 010]}',
    'plus' => '{"instances": ["hostile", +1]}',
    'dot at the end' => '{"instances": ["hostile", 1.]}',
    'dot at the start' => '{"instances": ["hostile", .5]}',
    'no exponent' => '{"instances": ["hostile", 1e]}',
    'minus' => '{"instances": ["hostile", -]}',
    'huge exponent' => '{"instances": ["hostile", 1e400]}',
    'huge number' => '{"instances": ["hostile", ' . ('9' x 400) . ']}',
    'undefined' => '{"instances": ["hostile", undefined]}',
    'True' => '{"instances": ["hostile", True]}',
    'nan' => '{"instances": ["hostile", nan]}',
    '+Infinity' => '{"instances": ["hostile", +Infinity]}',
    'invalid UTF-8' => qq({"instances": ["hostile\xff"]}),
    'overlong UTF-8' => qq({"instances": ["hostile\xc0\xaf"]}),
    'cut UTF-8' => qq({"instances": ["hostile\xe2\x82"]}),
    'surrogate in UTF-8' => qq({"instances": ["hostile\xed\xa0\x80"]}),
    'UTF-8 above Unicode' => qq({"instances": ["hostile\xf4\x90\x80\x80"]}),
    'lone surrogate' => '{"instances": ["hostile\\ud800"]}',
    'lone low surrogate' => '{"instances": ["hostile\\udc00"]}',
    'wrong pair' => '{"instances": ["hostile\\ud800\\ud800"]}',
    'control character' => qq({"instances": ["hostile\n"]}),
    'NUL in a string' => qq({"instances": ["hostile\0"]}),
    'NUL at the end' => qq({"instances": ["hostile"]}\0),
    'NUL at the start' => qq(\0{"instances": ["hostile"]}),
    'duplicate' => '{"instances": ["hostile"], "instances": [2]}',
    'duplicate, escaped' =>
        '{"instances": ["hostile"], "\\u0069nstances": [2]}',
    'duplicate, escaped first' =>
        '{"inst\\u0061nces": ["hostile"], "instances": [2]}',
    'duplicate in a row' => '{"instances": [{"hostile": 1, "hostile": 2}]}',
    'duplicate in a row, escaped' =>
        '{"instances": [{"hostile": 1, "\\u0068ostile": 2}]}',
    'duplicate signature' => '{"signature_name": "a", "signature_name": "b",'
        . ' "instances": ["hostile"]}',
    'many keys' => "{\"instances\": [{\"hostile\": 1, $many}]}",
    'garbage behind' => '{"instances": ["hostile"]} garbage',
    'garbage before' => 'garbage {"instances": ["hostile"]}',
    'another behind' => '{"instances": ["hostile"]}{}',
    'BOM' => qq(\xef\xbb\xbf{"instances": ["hostile"]}),
    'UTF-16' => join('', map { "$_\0" } split //, '{"instances":[1]}'),
    'list' => '["hostile"]',
    'string' => '"hostile"',
    'number' => '1',
    'empty' => '',
    'blanks' => " \n",
    'binary' => join('', map { chr } 0 .. 255),
    'nothing but brackets' => ']}{[' x 1000,
);

my @unsupported = (
    'inputs' => '{"inputs": {"x": [["hostile"]], "y": []}}',
    'inputs beside' => '{"instances": ["hostile"], "inputs": [1]}',
    'unknown member' => '{"instances": ["hostile"], "id": "mine"}',
    'unknown member first' => '{"id": "mine", "instances": ["hostile"]}',
    'escaped unlike' => '{"instances\\u0000": ["hostile"]}',
    'case' => '{"Instances": ["hostile"]}',
    'object for a list' => '{"instances": {"hostile": 1}}',
    'string for a list' => '{"instances": "hostile"}',
    'null for a list' => '{"instances": null}',
    'empty object' => '{}',
    'no-break space' => qq({"instances":\xc2\xa0["hostile"]}),
    'form feed' => qq({"instances":\f["hostile"]}),
    'open objects' => '{"a":' x 3000,
    'signature only' => '{"signature_name": "hostile"}',
);

my %more = (
    no_rows => ['no rows' => '{"instances": []}',
                'no rows, blanks' => qq({"instances": [ \n]\t})],
    rows => ['10000 rows' => '{"instances": ["hostile"'
                             . (',0' x 9999) . ']}'],
    bytes => ['5 MB' => '{"instances": ["hostile", "' . ('x' x 5000000)
                        . '"]}'],
);

my @cases = (pairs_of('invalid', @invalid),
    pairs_of('unsupported', @unsupported),
    map { pairs_of($_, @{$more{$_}}) } sort keys %more);

sub pairs_of {
    my ($reason, @pairs) = @_;

    return map { [$reason, @pairs[2 * $_, 2 * $_ + 1]] } 0 .. @pairs / 2 - 1;
}


# What the backend says to each alone.

my @alone = http_many([map { { body => $_->[2], uri => '/' } } @cases],
    port => $backend->port, concurrency => 8);


# Each between good ones, before and after; a batch of good ones has arrived
# on both sides of it.


my $before = $t->location('/');
$backend->clear;

my (@requests, @good, @bad);

for my $i (0 .. $#cases) {
    my $row = qq([$i, "]}\\"[{"]);

    push @requests, { uri => '/', body => qq({"instances": [$row]}) };
    push @good, [$#requests, qq({"predictions": [$row]}), $cases[$i][1]];

    push @requests, { uri => '/', body => $cases[$i][2] };
    push @bad, $#requests;
}

my @r = http_many(\@requests, port => $p, timeout => 60);

for my $i (0 .. $#cases) {
    my ($reason, $name) = @{$cases[$i]};
    my ($got, $want) = ($r[$bad[$i]], $alone[$i]);

    is("$got->{status} $got->{reason} $got->{body} "
        . ($got->{headers}{'x-digest'} || ''),
        "$want->{status} $want->{reason} $want->{body} "
        . ($want->{headers}{'x-digest'} || ''), "$reason: $name");
}

my @wrong = grep {
    $r[$_->[0]]{status} != 200 || $r[$_->[0]]{body} ne $_->[1]
} @good;

ok(!@wrong, 'the neighbours have their answers') or diag(map {
    "$_->[2]: $r[$_->[0]]{status} $r[$_->[0]]{body}\n" } @wrong);

# The backend saw every hostile body once, as it was, and nothing of it
# anywhere else.

my (%times, $batches);
my $good = qr/\[\d+, "\]\}\\"\[\{"\]/;

for my $req ($backend->requests) {
    if ($req->{body} =~ /\A\{"instances": \[$good(?:,$good)*\]\}\z/) {
        $batches++;

    } else {
        $times{md5_hex($req->{body})}++;
    }
}

my %want;
$want{md5_hex($_->[2])}++ for @cases;
is_deeply(\%times, \%want, 'each hostile body came alone, once, unchanged');
cmp_ok($batches, '<', @good / 2, 'the neighbours came in batches');

# Every one is counted by its reason.

my $after = $t->location('/');

for my $reason (qw(invalid unsupported no_rows rows bytes)) {
    is($after->{passed}{$reason} - $before->{passed}{$reason},
        scalar(grep { $_->[0] eq $reason } @cases), "passed: $reason");
}

is($after->{requests} - $before->{requests}, scalar @good, 'and the others');
is($after->{failed_batches}, 0, 'no batch failed');
is($after->{retries}, 0, 'nothing was tried again');


# What is allowed, if odd, rides along: nesting up to the limit, escapes,
# surrogate pairs, every kind of blank, long keys.

my @odd = (
    ('[' x 60) . (']' x 60), '{"a": {"a": {"a": 1}}}', '"\\u0000"',
    '"\\ud83d\\ude00"', '""', '{"": ""}', "[ \t\r\n]", '-0', '1E+300', '1e-400',
    '{"' . ('k' x 5000) . '": 1}', '"\\\\"', '"\\\\\\""', '"/* ]} */"',
    '"instances"', '{"instances": [1], "predictions": [2]}',
    "\"\x7f\xc2\x80\xf4\x8f\xbf\xbf\"",
);

$backend->clear;
@r = http_many([map { { uri => '/', body => qq({"instances": [$_]}) } } @odd],
    port => $p);

for my $i (0 .. $#odd) {
    is("$r[$i]{status} $r[$i]{body}", qq(200 {"predictions": [$odd[$i]]}),
        'odd: ' . substr($odd[$i], 0, 30) =~ s/[^ -~]/?/gr);
}

is(scalar(map { @{$_->{rows}} } $backend->requests), scalar @odd,
    'odd: all rows');
cmp_ok(scalar(() = $backend->requests), '<', @odd, 'odd: in batches');

# NaN beside plain ones: a backend that does not read it fails those only
# that have it.

$backend->clear;
@r = http_many([map { { uri => '/', body => qq({"instances": [$_]}) } }
    1, 'NaN', 2, '[NaN]', 3, '-Infinity'], port => $p);
is(join("\n", map { "$_->{status} $_->{body}" } @r),
    join("\n", map { qq(200 {"predictions": [$_]}) }
        1, 'NaN', 2, '[NaN]', 3, '-Infinity'), 'NaN beside plain');
ok(!(grep { $_->{body} =~ /(NaN|Inf)/ && $_->{body} =~ /[123]/ }
    $backend->requests), 'NaN beside plain: apart');

done_testing;
