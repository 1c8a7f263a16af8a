#!/usr/bin/perl

# The OpenAI embeddings API: strings and tokens, floats and base64, indices,
# shares of the usage, errors.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use Test::Mark;
use Test::Mark::Alike;

my $json = JSON::PP->new->allow_nonref->utf8;
my $t = Test::Mark->new;
my $p = $t->port(8080);
my $b = $t->backend(8081, handler => \&embed);

$t->conf(<<'EOC')->run;
%%GLOBALS%%

events {
    worker_connections 512;
}

http {
    %%HTTP%%

    proxy_http_version 1.1;
    proxy_set_header Connection "";

    server {
        listen 127.0.0.1:%%PORT_8080%%;

        location /e/ {
            mark_batch embeddings;
            mark_max_queue_delay 100ms;
            proxy_pass http://127.0.0.1:%%PORT_8081%%;
        }

        location /unlike/ {
            mark_batch embeddings;
            mark_max_queue_delay 1s;
            proxy_pass http://127.0.0.1:%%PORT_8081%%;
        }

        location /full/ {
            mark_batch embeddings;
            mark_max_queue_delay 10s;
            mark_max_batch_size 8;
            proxy_pass http://127.0.0.1:%%PORT_8081%%;
        }

        location /plain/ {
            proxy_pass http://127.0.0.1:%%PORT_8081%%;
        }

        location = /mark_status {
            mark_status json;
        }
    }
}
EOC

# servers print in their own ways

for my $how (qw(compact spaced pretty late)) {
    shares_of($how, "$how: strings", map { qq("text number $_") } 1 .. 8);
    shares_of($how, "$how: lists", map {
        '[' . join(',', map { qq("text $_") } 1 .. $_) . ']'
    } 1 .. 6);
}

shares_of('compact', 'tokens', map { "[$_,2,3]" } 1 .. 6);
shares_of('compact', 'lists of tokens', map { "[[$_,2],[3],[4,5,6]]" } 1 .. 6);
shares_of('compact', 'all forms together', '"one"', '["two","three"]',
    '[4,5]', '[[6],[7,8]]', '["nine"]');
shares_of('compact', 'odd strings', '"\\u0000\\ud83d\\ude00"',
    '["]","[,\\"\\\\"]', '"ä€"', '" "');

shares_of('compact', 'base64', { encoding_format => '"base64"' },
    map { qq(["a $_","b"]) } 1 .. 6);
shares_of('compact', 'dimensions', { dimensions => 3 },
    map { qq(["a $_","b"]) } 1 .. 6);

# one that is alone gets what it would have got

alike($t, 'alone', [ request('e/compact', '["alone","not lonely"]') ]);

# a batch is one request

$b->clear;
http_many([ map { request('full', qq(["x $_","y"])) } 1 .. 4 ], port => $p);

my @sent = $b->requests;

is(scalar @sent, 1, 'one request for four');
is(scalar @{$json->decode($sent[0]{body})->{input}}, 8, 'of eight inputs');

# what is unlike in more than its inputs shares no batch

my @unlike = ({ }, { model => '"other"' }, { encoding_format => '"base64"' },
    { encoding_format => '"float"' }, { dimensions => 2 }, { user => '"u"' },
    { user => '"v"' });

$b->clear;
alike($t, 'unlike', [ map { request('unlike/compact', '["a","b"]', $_) }
                      @unlike, @unlike ], body => \&without_usage);

is(scalar(grep { $_->{uri} =~ m!^/unlike/! } $b->requests), @unlike,
    'unlike: batches of two');

# faults: everybody has his own

my (undef, $got) = alike($t, 'a bad input', [ map {
    request('e/compact', $_ == 3 ? '["fine",""]' : qq("fine $_"))
} 1 .. 8 ], body => \&without_usage, location => '/e/', status => 0);

is(join(' ', map { $_->{status} } @$got), '200 200 400 200 200 200 200 200',
    'a bad input: only the guilty one');
like($got->[2]{body}, qr/'input\[1\]' is invalid/, 'with his own error');

alike($t, 'no such model', [ map {
    request('e/compact', qq("$_"), { model => '"none"' })
} 1 .. 4 ], location => '/e/', status => 404);

# what passes, by reason

passed('unsupported', map { { %{request('e/compact', '""')}, body => $_ } }
    '{}', '{"input":{}}', '{"input":1,"model":"m"}',
    '{"input":"x","model":"m","new":1}');
passed('invalid', map { { %{request('e/compact', '""')}, body => $_ } }
    '', '[]', '{"input":', '{"input":"x","model":"m"}x',
    '{"input":"x","input":"y","model":"m"}');
passed('no_rows', request('e/compact', '[]'));

done_testing;


# Requests with these inputs, and more members: alike but for the usage, which
# is all there when it is added up.

sub shares_of {
    my ($how, $name, @inputs) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $more = ref $inputs[0] ? shift @inputs : {};
    my @requests = map { request("e/$how", $_, $more) } @inputs;

    my ($plain, $got) = alike($t, $name, \@requests, location => '/e/',
        without => ['content-length'], body => \&without_usage);

    is(used($got), used($plain), "$name: usage adds up");
}


sub used {
    my ($answers) = @_;

    my %sum = (prompt_tokens => 0, total_tokens => 0);

    for my $r (@$answers) {
        my $usage = (eval { $json->decode($r->{body}) } || {})->{usage} || {};
        $sum{$_} += $usage->{$_} || 0 for keys %sum;
    }

    return join ' ', map { "$_=$sum{$_}" } sort keys %sum;
}


sub without_usage { $_[0] =~ s/(_tokens" ?: ?)\d+/$1/gr }


sub request {
    my ($how, $input, $more) = @_;

    my %m = (model => '"m"', %{$more || {}});

    return {
        method => 'POST', uri => "/$how/v1/embeddings",
        body => '{' . join(',', (map { qq("$_":$m{$_}) } sort keys %m),
                           qq("input":$input)) . '}',
    };
}


sub passed {
    my ($reason, @requests) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $before = ($t->location('/e/')->{passed} || {})->{$reason} || 0;

    alike($t, $reason, \@requests, status => 0);
    is($t->location('/e/')->{passed}{$reason} - $before, scalar @requests,
        "$reason: counted");
}


# --- the model server --------------------------------------------------------

sub embed {
    my ($req) = @_;

    my ($how) = $req->{uri} =~ m!(\w+)/v1/embeddings$! or return;
    my $m = eval { $json->decode($req->{body}) };

    return refused(400, 'not an object') if ref $m ne 'HASH';
    return refused(404, "no model '$m->{model}'")
        if ($m->{model} || '') eq 'none';

    my $input = $m->{input};
    my @inputs = ref $input ne 'ARRAY' || !ref $input->[0]
                 && ($input->[0] || '') =~ /^\d+$/ ? $input : @$input;

    return refused(400, "'input' is invalid") unless @inputs;

    my ($tokens, @rows) = (0);

    for my $n (0 .. $#inputs) {
        my $one = $inputs[$n];

        return refused(400, "'input[$n]' is invalid")
            if !defined $one || $one eq '' || ref $one eq 'HASH';

        my @tokens = ref $one ? @$one : (101, unpack('W*', $one), 102);

        $tokens += @tokens;
        push @rows, row($m, @tokens);
    }

    return { body => printed($how, $m->{model} || '', $tokens, @rows) };
}


sub refused {
    my ($status, $message) = @_;

    return { status => $status, body => qq({"error": {"message": "$message", )
        . '"type": "invalid_request_error", "param": "input", "code": null}}' };
}


sub row {
    my ($m, @tokens) = @_;

    my @values = (0) x 6;

    $values[$_ % 6] += $tokens[$_] / 4 for 0 .. $#tokens;
    splice @values, $m->{dimensions} if $m->{dimensions};

    return '"' . encode_base64(pack('f<*', @values), '') . '"'
        if ($m->{encoding_format} || '') eq 'base64';
    return '[' . join(',', map { sprintf '%.2e', $_ } @values) . ']';
}


# the members in OpenAI's order, and (late) in another one with a member more

sub printed {
    my ($how, $model, $tokens, @rows) = @_;

    my ($comma, $colon, $eol) = $how eq 'compact' ? (',', ':', '')
        : $how eq 'pretty' ? (",\n  ", ': ', "\n") : (', ', ': ', '');

    my $list = sub { '[' . join($comma, @_) . ']' };
    my $object = sub {
        my @members;
        push @members, '"' . shift(@_) . "\"$colon" . shift @_ while @_;
        return '{' . join($comma, @members) . '}';
    };

    my $usage = $object->(prompt_tokens => $tokens, total_tokens => $tokens);

    return $object->(
        model => qq("$model"), usage => $usage, created => 1700000000,
        data => $list->(map { $object->(
            embedding => $rows[$_], index => $_, object => '"embedding"',
        ) } 0 .. $#rows),
        object => '"list"') if $how eq 'late';

    return $object->(
        object => '"list"',
        data => $list->(map { $object->(
            object => '"embedding"', index => $_, embedding => $rows[$_],
        ) } 0 .. $#rows),
        model => qq("$model"), usage => $usage) . $eol;
}
