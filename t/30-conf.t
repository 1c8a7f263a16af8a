#!/usr/bin/perl

# What nginx says of right and wrong configurations, and what it does with
# those that have no batches.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use Test::Mark;

my $t = Test::Mark->new;
my $b = $t->backend(8081);

my $proxy = 'proxy_pass http://127.0.0.1:%%PORT_8081%%;';

# Wrong directives, one at a time, and the message.

for (['mark_batch v3', qr/unknown protocol "v3" in "mark_batch", it is "v1"/],
     ['mark_batch V1', qr/unknown protocol "V1"/],
     ['mark_batch ""', qr/unknown protocol ""/],
     ['mark_batch', qr/invalid number of arguments in "mark_batch"/],
     ['mark_batch v1 v1', qr/"mark_batch v1" has no parameters/],
    ['mark_batch v2 in=a', qr/"mark_batch v2" has no parameters/],
    ['mark_batch json', qr/"mark_batch json" needs "in=PATH out=PATH"/],
    ['mark_batch json in=a', qr/"mark_batch json" needs "in=PATH out=PATH"/],
    ['mark_batch json in=a in=b', qr/"mark_batch json" needs "in=PATH out/],
    ['mark_batch json in=a out=b x', qr/"mark_batch json" needs "in=PATH/],
    ['mark_batch json in=a out=b..c', qr/"out=b\.\.c" in "mark_batch json" is/],
    ['mark_batch json in= out=b', qr/"in=" in "mark_batch json" is no path/],
     ['mark_batch v1; mark_batch off', qr/"mark_batch" directive is dup/],
     ['mark_slo x', qr/"mark_slo" directive has an invalid time/],
     ['mark_slo -1', qr/"mark_slo" directive has an invalid time/],
     ['mark_slo 1s 2s', qr/has a default, but no variable before it/],
     ['mark_slo 1s; mark_slo 2s', qr/"mark_slo" directive is duplicate/],
     ['mark_max_batch_size 0', qr/value must be (?:equal|greater|between)/],
     ['mark_max_batch_size 65537', qr/value must be (?:equal|less|between)/],
     ['mark_max_batch_size x', qr/"mark_max_batch_size" directive invalid/],
     ['mark_max_batch_size 1.5', qr/"mark_max_batch_size" directive invalid/],
     ['mark_max_batch_size 1; mark_max_batch_size 1',
         qr/"mark_max_batch_size" directive is duplicate/],
     ['mark_max_batch_bytes x', qr/"mark_max_batch_bytes" directive invalid/],
     ['mark_max_batch_bytes -1', qr/"mark_max_batch_bytes" directive invalid/],
     ['mark_max_batch_bytes 1k; mark_max_batch_bytes 1k',
         qr/"mark_max_batch_bytes" directive is duplicate/],
     ['mark_max_queue_delay x',
         qr/invalid value "x" in "mark_max_queue_delay", it is "auto" or/],
     ['mark_max_queue_delay -1', qr/invalid value "-1" in "mark_max_queue_d/],
     ['mark_max_queue_delay Auto', qr/invalid value "Auto" in "mark_max_q/],
     ['mark_max_queue_delay 1s; mark_max_queue_delay auto',
         qr/"mark_max_queue_delay" directive is duplicate/],
     ['mark_max_queue_size x', qr/"mark_max_queue_size" directive invalid/],
     ['mark_max_queue_size -1', qr/"mark_max_queue_size" directive invalid/],
     ['mark_max_queue_size 1; mark_max_queue_size 1',
         qr/"mark_max_queue_size" directive is duplicate/],
     ['mark_batch_key', qr/invalid number of arguments in "mark_batch_key"/],
     ['mark_batch_key abc', qr/"abc" in "mark_batch_key" has no variable/],
     ['mark_batch_key $uri abc', qr/"abc" in "mark_batch_key" has no var/],
     ['mark_batch_key ""', qr/"" in "mark_batch_key" has no variable/],
     ['mark_batch_key $nonsense', qr/unknown "nonsense" variable/],
     ['mark_batch_key $uri; mark_batch_key $args',
         qr/"mark_batch_key" directive is duplicate/],
     ['mark_batch_key ' . join(' ', map { "\$arg_$_" } 1 .. 9),
         qr/"mark_batch_key" directive has too many values, join some/],
     ['mark_batch_ignore_header', qr/invalid number of arguments/],
     ['mark_status xml', qr/invalid value "xml" in "mark_status", it is/],
     ['mark_status json json', qr/invalid number of arguments/])
{
    my ($directive, $message) = @$_;

    # a status is another location's
    my $own = $directive =~ /^mark_status/ ? '' : $proxy;
    my ($status, $said) = $t->test_conf(location("$own\n$directive;"));

    is($status, 1, "refused: $directive");
    like($said, $message, "refused: $directive: message");
}

# A message has the file and the line.

like(refused(location("$proxy\nmark_batch v3;")), place('mark_batch v3'),
    'file and line');

# Caches and stores of answers that are not one client's.

my $cache = 'proxy_cache_path %%DIR%%/cache keys_zone=cache:64k;';

my $said = refused(location("$proxy\nmark_batch v1;\nproxy_cache cache;",
                            $cache));
like($said, qr/"proxy_cache" would give .* in location "\/l", or "mark_b/,
    'proxy_cache');
like($said, place('mark_batch v1'), 'proxy_cache: file and line');
$said = refused(location("$proxy\nmark_batch v1;\nproxy_store on;"));
like($said, qr/"proxy_store" would store .* in location "\/l", or "mark_b/,
    'proxy_store');
like($said, place('mark_batch v1'), 'proxy_store: file and line');
like(refused(location("$proxy\nmark_batch v1;", "$cache proxy_cache cache;")),
    qr/"proxy_cache" would/, 'proxy_cache of http');
$said = refused(location("$proxy\nmark_batch v1;\n"
                         . "location /l/in {\nproxy_store on; $proxy }"));
like($said, qr/"proxy_store" would .* location "\/l\/in"/,
    'proxy_store, nested');
like($said, place('mark_batch v1'), 'proxy_store, nested: file and line');
like(refused(location("$proxy\nmark_batch v1;\n"
                      . 'if ($arg_a) { proxy_store on; }')),
    qr/directive is not allowed here|"proxy_store" would/,
    'proxy_store in if');

# mark_share stands in http.

for (['mark_share;', qr/invalid number of arguments in "mark_share"/],
     ['mark_share maybe;', qr/"mark_share" directive is "on", "on" and a s/],
     ['mark_share off 1m;', qr/"mark_share" directive is "on", "on" and a s/],
     ['mark_share on 1m 1m;', qr/invalid number of arguments/],
     ['mark_share on 1023k;', qr/has an invalid size, it is at least "1m"/],
     ['mark_share on much;', qr/has an invalid size, it is at least "1m"/],
     ['mark_share on; mark_share off;', qr/"mark_share" directive is dup/])
{
    my ($text, $message) = @$_;

    like(refused(location("$proxy\nmark_batch v1;", $text)), $message, $text);
}

accepted($_, location("$proxy\nmark_batch v1;", $_))
    for 'mark_share on;', 'mark_share on 1m;', 'mark_share off;';

like(refused(location("mark_share on;\n$proxy")),
    qr/"mark_share" directive is not allowed here/, 'mark_share: context');

# The other upstreams, and those that are not known.

for my $pass ('fastcgi', 'uwsgi', 'scgi') {
    my $to = "${pass}_pass 127.0.0.1:%%PORT_8081%%;";
    my $named = qr/turn it off in location "\/l", or "mark_batch" in/;
    my $zone = "${pass}_cache_path %%DIR%%/cache keys_zone=cache:64k;";

    accepted("${pass}_pass", location("$to\nmark_batch v1;"));

    $said = refused(location("$to\nmark_batch v1;\n${pass}_cache cache;",
                             $zone));
    like($said, qr/"${pass}_cache" would give .* $named/, "${pass}_cache");
    like($said, place('mark_batch v1'), "${pass}_cache: file and line");

    $said = refused(location("$to\nmark_batch v1;\n${pass}_store on;"));
    like($said, qr/"${pass}_store" would store .* $named/, "${pass}_store");
    like($said, place('mark_batch v1'), "${pass}_store: file and line");

    like(refused(location("set \$up 127.0.0.1:1; ${pass}_pass \$up;\n"
                          . "mark_batch v1;\n${pass}_store on;")),
        qr/"${pass}_store" would store/, "${pass}_store, \$variable");

    accepted("${pass}_cache of http, but proxy_pass",
        location("$proxy\nmark_batch v1;", "$zone ${pass}_cache cache;"
                 . "${pass}_cache_key \$uri;"));
    accepted("proxy_cache of http, but ${pass}_pass",
        location("$to\nmark_batch v1;", "$cache proxy_cache cache;"));
}

my $variable = 'set $up 127.0.0.1:1; proxy_pass http://$up;';

like(refused(location("$variable\nmark_batch v1;\nproxy_cache cache;",
                      $cache)),
    qr/"proxy_cache" would give/, 'proxy_cache, $variable');
like(refused(location("$variable\nmark_batch v1;\nproxy_cache \$up;",
                      $cache)),
    qr/"proxy_cache" would give/, 'proxy_cache $variable');
like(refused(location("$variable\nmark_batch v1;\nproxy_store on;")),
    qr/"proxy_store" would store/, 'proxy_store, $variable');
accepted('proxy_pass $variable', location("$variable\nmark_batch v1;"));

# gRPC.

SKIP: {
    skip 'nginx without HTTP/2', 6 unless $t->has_option('http_v2_module');

    my $grpc = 'grpc_pass grpc://127.0.0.1:%%PORT_8081%%;';

    $said = refused(location("$grpc\nmark_batch v1;"));
    like($said, qr/"grpc_pass" takes frames .* pass location "\/l" to an HTTP /,
        'grpc_pass');
    like($said, place('mark_batch v1'), 'grpc_pass: file and line');
    like(refused(location("$proxy\nmark_batch v1;\nif (\$arg_a) { $grpc }")),
        qr/"grpc_pass" takes frames/, 'grpc_pass in if');
    like(refused(location("$proxy\nmark_batch v1;\nlocation /l/in { $grpc }")),
        qr/"grpc_pass" takes frames .* "\/l\/in"/, 'grpc_pass, nested');
    accepted('grpc_pass, nested, with mark_batch off',
        location("$proxy\nmark_batch v1;\n"
                 . "location /l/in { mark_batch off; $grpc }"));
    accepted('proxy_pass in a location of grpc_pass',
        location("$grpc\nlocation /l/in { mark_batch v1; $proxy }"));
}

accepted('proxy_cache off', location("$proxy\nmark_batch v1;\n"
    . 'proxy_cache off;', "$cache proxy_cache cache;"));
accepted('proxy_cache beside', location($proxy . 'proxy_cache cache;', $cache));
accepted('mark_batch off with proxy_cache',
    location("$proxy\nmark_batch off;\nproxy_cache cache;", $cache));

# Wrong places.

for (['mark_batch v1;', 'http'], ['mark_batch v1;', 'server'],
     ['mark_batch v1;', 'if'], ['mark_batch v1;', 'limit_except'],
     ['mark_batch v1;', 'upstream'], ['mark_batch v1;', 'main'],
     ['mark_status;', 'http'], ['mark_status;', 'server'],
     ['mark_status;', 'if'], ['mark_slo 1s;', 'if'], ['mark_slo 1s;', 'main'],
     ['mark_max_queue_delay 1s;', 'upstream'],
     ['mark_batch_key $uri;', 'if'])
{
    my ($directive, $place) = @$_;

    my $text = $place eq 'main'
            ? location($proxy) =~ s/^events/$directive\nevents/mr
        : $place eq 'http' ? location($proxy, $directive)
        : $place eq 'upstream'
            ? location($proxy, "upstream u { server 127.0.0.1; $directive }")
        : $place eq 'server'
            ? location($proxy, "server { $directive }")
        : $place eq 'if'
            ? location("$proxy if (\$arg_a) { $directive }")
            : location("$proxy limit_except GET { $directive }");

    like(refused($text), qr/directive is not allowed here/,
        "$directive in $place");
}

# mark_status with another handler.

like(refused(location("$proxy mark_status;")),
    qr/"mark_status" directive conflicts with another content handler/,
    'mark_status after proxy_pass');
like(refused(location('mark_status; mark_status;')),
    qr/"mark_status" directive is duplicate/, 'mark_status twice');

# What is right.

for ('mark_batch v1', 'mark_batch off', 'mark_slo 50ms', 'mark_slo 0',
     'mark_max_batch_size 1', 'mark_max_batch_size 65536',
     'mark_max_batch_bytes 16m', 'mark_max_queue_delay auto',
     'mark_max_queue_delay 0', 'mark_max_queue_delay 5ms',
     'mark_max_queue_size 0', 'mark_max_queue_size 1000',
     'mark_batch_key $uri', 'mark_batch_key a$uri "$http_a$http_b"',
     'mark_batch_key ' . join(' ', map { "\$arg_$_" } 1 .. 8),
     'mark_batch_ignore_header X-A',
     'mark_batch_ignore_header X-A X-B; mark_batch_ignore_header X-C',
     'mark_batch_ignore_header User-Agent x-a X-A',
     'mark_batch_ignore_header ' . 'X-Long-' x 20 . 'Name',
     'mark_batch_ignore_header ' . join(' ', map { "X-Header-$_" } 1 .. 500))
{
    accepted($_, location("$proxy\nmark_batch v1;\n$_;"))
        if !/^mark_batch /;
    accepted($_, location("$proxy\n$_;"));
}

accepted('all of them in http', location("$proxy mark_batch v1;",
    'mark_slo 1s; mark_max_batch_size 8; mark_max_batch_bytes 1m;
     mark_max_queue_delay 2ms; mark_max_queue_size 9; mark_batch_key $args;
     mark_batch_ignore_header X-A;'));
accepted('if without a handler of its own',
    location("$proxy\nmark_batch v1;\n" . 'if ($arg_a) { set $x 1; }'));

# Nothing to batch for.

(my $status, $said) = $t->test_conf(location('mark_batch v1;'));
is($status, 0, 'no handler: accepted');
like($said, qr/\[warn\] .*nothing to batch for: location "\/l"/,
    'no handler: warned');
like($said, place('mark_batch v1'), 'no handler: file and line');

# Without any mark_batch the module is not there.

$t->conf(location("$proxy\nmark_slo 1s;\n}\n"
    . "location = /mark_status {\nmark_status;\n}\n"
    . "location = /metrics {\nmark_status prometheus;\n", <<'EOC'))->run;
log_format marks '$uri $status <$mark_batch_size$mark_batch_rows> '
    '<$mark_queue_time$mark_batch_time> <$mark_reason$mark_slo_met>';
access_log %%DIR%%/access.log marks;
EOC

my $p = $t->port(8080);

my @r = http_many([map { {
    uri => '/l', body => qq({"instances": [$_]}),
} } 1 .. 8], port => $p);
is(join(' ', map { $_->{body} =~ /(\d)/ } @r), '1 2 3 4 5 6 7 8', 'answers');
is(scalar($b->requests), 8, 'nothing is batched');
ok($t->wait_access_log(qr!^/l 200 <--> <--> <-->$!m), 'variables');
unlike($t->log, qr/mark:/, 'the module does nothing');

my $r = http_get($p, '/mark_status');
is($r->{status}, 200, 'status without locations');
my $json = eval { JSON::PP::decode_json($r->{body}) };
is(ref $json, 'HASH', 'status without locations: JSON') or diag($r->{body});
is_deeply($json->{locations}, [], 'status without locations: none');
$r = http_get($p, '/metrics');
is($r->{status}, 200, 'metrics without locations');
unlike($r->{body}, qr/^nginx_mark_requests_total/m,
    'metrics without locations: no samples');

# A reload brings the first batches, and another takes the last away.

my $with = location("$proxy\nmark_batch v1;\nmark_max_queue_delay 30s;\n"
    . "mark_max_batch_size 4;\n}\nlocation = /mark_status {\nmark_status;\n");
(my $without = $with) =~ s/mark_batch v1;//;

$b->clear;
ok($t->reload($with), 'reload with');
@r = post(1 .. 4);
is(join(' ', map { $_->{body} =~ /(\d)/ } @r), '1 2 3 4', 'with: answers');
is(scalar($b->requests), 1, 'with: batched');
ok($t->reload($without), 'reload without');
@r = post(1 .. 4);
is(join(' ', map { $_->{body} =~ /(\d)/ } @r), '1 2 3 4', 'without: answers');
is(scalar($b->requests), 5, 'without: not batched');
ok($t->reload($with), 'reload with again');
@r = post(1 .. 4);
is(join(' ', map { $_->{body} =~ /(\d)/ } @r), '1 2 3 4', 'with: answers');
is(scalar($b->requests), 6, 'with again: batched');

# More locations than the first zone has room for.

my $many = $with;
my $all = join '', map { "location /many/$_ {\n$proxy\nmark_batch v1;\n}\n" }
    1 .. 100;
$many =~ s/(location = \/mark_status)/$all$1/;
ok($t->reload($many), 'a hundred locations');
is(scalar @{$t->status->{locations}}, 101, 'a hundred locations: status');
@r = post(1 .. 4);
is(join(' ', map { $_->{body} =~ /(\d)/ } @r), '1 2 3 4',
    'a hundred locations: answers');

done_testing;


# a configuration with these lines in location /l

sub location {
    my ($lines, $http) = @_;

    $http = defined $http ? $http : '';
    chomp $http;
    $http =~ tr/\n/ /;

    return <<"EOC";
%%GLOBALS%%
events { }
http {
%%HTTP%%
$http
server {
listen 127.0.0.1:%%PORT_8080%%;
location /l {
$lines
}
}
}
EOC
}


# where the text stands in the last configuration that was tested

sub place {
    my ($text) = @_;

    my ($before) = $t->read_file('test.conf') =~ /^(.*?)\Q$text\E/s
        or return qr/no "$text"/;
    my $line = 1 + ($before =~ tr/\n//);

    return qr/in \S+test\.conf:$line$/m;
}


sub refused {
    my ($status, $said) = $t->test_conf($_[0]);

    return $status ? $said : "accepted:\n$said";
}


sub accepted {
    my ($name, $text) = @_;

    my ($status, $said) = $t->test_conf($text);
    ok($status == 0 && $said !~ /\[(?:warn|emerg|alert|crit)\]/,
        'accepted: ' . substr($name, 0, 60)) or diag($said);
}


sub post {
    return http_many([map { {
        uri => '/l', body => qq({"instances": [$_]}),
    } } @_], port => $p);
}
