#!/usr/bin/perl

# A real model, all-MiniLM-L6-v2, with the OpenAI embeddings API, and OpenAI's
# client library for Python.

use warnings;
use strict;

use JSON::PP ();
use Test::Mark;
use Test::Mark::Peer qw(embeddings);
use Test::Mark::Alike;

my $t = Test::Mark->new;
my $peer = Test::Mark::Peer->new($t, 'embeddings', ready => '/');

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

        location /v1/ {
            mark_batch embeddings;
            mark_max_queue_delay 300ms;
            proxy_pass http://127.0.0.1:%%PORT_embeddings%%;
        }

        location /plain/ {
            proxy_pass http://127.0.0.1:%%PORT_embeddings%%/;
        }

        location = /mark_status {
            mark_status json;
        }
    }
}
EOC

shares_of('strings', { }, map { qq("text number $_") } 1 .. 16);
shares_of('lists', { }, map {
    '[' . join(',', map { qq("text $_") } 1 .. $_) . ']'
} 1 .. 6);
shares_of('of unlike lengths', { }, map {
    '"' . 'many words ' x 4 ** $_ . '"'
} 0 .. 3);
shares_of('tokens', { }, map { "[101,$_,102]" } 2000 .. 2007);
shares_of('lists of tokens', { }, map { "[[101,$_,102],[$_]]" } 2000 .. 2007);
shares_of('base64', { encoding_format => '"base64"' },
    map { qq(["text $_","ä"]) } 1 .. 8);
shares_of('dimensions', { dimensions => 16 }, map { qq("text $_") } 1 .. 8);
shares_of('no words', { }, '" "', '"\\u0000"', '"\\ud83d\\ude00"', '"]"');

# one that is alone gets what it would have got

alike($t, 'alone', [ request('["alone", "not lonely"]') ]);

# errors: everybody has his own

my (undef, $got) = alike($t, 'an empty string', [ map {
    request($_ == 5 ? '""' : qq("text $_"))
} 1 .. 8 ], location => '/v1/', status => 0, body => \&without_usage,
    without => ['content-length']);

is(join(' ', map { $_->{status} } @$got), '200 200 200 200 400 200 200 200',
    'only the guilty one');

alike($t, 'no model', [ map {
    request(qq("$_"), { model => '"none"' })
} 1 .. 4 ], location => '/v1/', status => 404);

alike($t, 'malformed', [
    (map { { %{request('""')}, body => $_ } } '', '{"input":', '[]',
        '{"model": "all-MiniLM-L6-v2"}'),
    request('[]'), request('{}'), request('[1,"x"]'),
], status => 400);

# a real client

my $here = 'http://127.0.0.1:' . $t->port(8080);
my $before = $t->location('/v1/');

Test::Mark::Peer::client('embeddings', 'openai_client', "$here/plain/v1",
                         "$here/v1");

my $l = $t->location('/v1/');

cmp_ok($l->{batches} - $before->{batches}, '<',
    ($l->{requests} - $before->{requests}) / 2, 'client: batches');

done_testing;


# Requests with these inputs, and more members: alike but for the usage, which
# is all there when it is added up.

sub shares_of {
    my ($name, $more, @inputs) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my ($plain, $got) = alike($t, $name, [ map { request($_, $more) } @inputs ],
        location => '/v1/', without => ['content-length'],
        body => \&without_usage);

    is(used($got), used($plain), "$name: usage adds up");
}


sub used {
    my ($answers) = @_;

    my $sum = 0;

    for (@$answers) {
        my $usage = JSON::PP::decode_json($_->{body})->{usage};

        $sum += $usage->{prompt_tokens};
        return 'odd' if $usage->{prompt_tokens} != $usage->{total_tokens};
    }

    return $sum;
}


sub without_usage { $_[0] =~ s/(_tokens": )\d+/$1/gr }


sub request {
    my ($input, $more) = @_;

    my %m = (model => '"all-MiniLM-L6-v2"', %{$more || {}});

    return {
        method => 'POST', uri => '/v1/embeddings',
        body => '{' . join(', ', (map { qq("$_": $m{$_}) } sort keys %m),
                           qq("input": $input)) . '}',
    };
}
