#!/usr/bin/perl

# Every file of conf/examples starts, and batches; so do the synopsis of the
# README and the configuration of the container.  Each is in front of a backend
# that speaks its protocol, V1 unless its name says another one; that of a
# Lambda function gets V1 as well, and each server of a pool is a backend of
# its own.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use Test::Mark;
use Test::Mark::V2 qw(infer tensor v2_models);

# of each protocol, the n-th request (the arguments of http_request()), and a
# backend that takes a while for it

my %protocols = (

    v1 => {
        request => sub { post('/v1/models/resnet:predict',
                              qq({"instances": [[$_[0], 1.50]]})) },
        backend => [],
    },

    # of three priorities, each with an id of its own

    v2 => {
        request => sub { return { infer('/v2/models/echo/infer',
            id => qq("r$_[0]"),
            inputs => [ tensor('x', 'FP32', '1,2', "$_[0],1.50") ],
            parameters => '{"priority":' . (1 + $_[0] % 3)
                          . ',"timeout":' . 60e6 . '}',
        ) } },
        backend => [ handler => v2_models('triton') ],
    },

    # of token ids the usage is exact

    embeddings => {
        request => sub { post('/v1/embeddings',
            '{"model": "m", "input": [' . join(', ', 1 .. $_[0]) . ']}') },
        backend => [ handler => \&embed ],
    },

    json => {
        request => sub { post('/classify',
                              qq({"lang": "en", "texts": ["t$_[0]"]})) },
        backend => [ list => 'texts', answer => 'labels' ],
    },
);

# whoever invokes a function has credentials

$ENV{AWS_ACCESS_KEY_ID} = 'AKIDEXAMPLE';
$ENV{AWS_SECRET_ACCESS_KEY} = 'secret';

my @examples = sort glob "$FindBin::Bin/../conf/examples/*.conf";

is(scalar(grep { my $name = $_; grep { m!/$name\.conf$! } @examples }
          keys %protocols), 4, 'an example of each protocol');

starts($_, slurp($_)) for @examples;

my ($synopsis) = slurp("$FindBin::Bin/../README.md")
    =~ /^```nginx\n(load_module .*?)^```/ms;

starts('synopsis', "events { }\n$synopsis", 80);

done_testing();


sub slurp {
    my ($path) = @_;

    open my $f, '<', $path or die "$path: $!\n";
    local $/;
    return scalar <$f>;
}


# An example as it is, but for what belongs to the machine: ports, paths, the
# module's place; and for deadlines, which a slow machine may miss.

sub starts {
    my ($name, $text, $listen) = @_;

    $name =~ s/.*\///;
    $listen ||= 8080;

    my ($protocol) = $name =~ /^(\w+)\.conf$/;
    my ($request, $backend) = @{$protocols{$protocol || ''}
                                || $protocols{v1}}{qw(request backend)};

    my $t = Test::Mark->new;

    unless ($t->has_module) {
        SKIP: { skip 'no module', 1 }
        return;
    }

    my $b = $t->backend(8501, delay => 0.05, @$backend);

    $t->write_file('backends.conf', 'server 127.0.0.1:' . $b->port . ";\n");
    mkdir $t->dir . '/logs';

    $text =~ s/^\s*(?:load_module|include .*modules-enabled|worker_processes
                |pid|error_log|daemon)\b[^;]*;\n//mgx;
    $text =~ s/^\s*\w+_temp_path [^;]*;\n//mg;
    $text =~ s/^\s*access_log \/dev[^;]*;\n//mg;
    $text =~ s/\blisten $listen;/listen 127.0.0.1:%%PORT_8080%%;/;
    $text =~ s/\bserver \S+:\d+;/server 127.0.0.1:%%PORT_8501%%;/g;

    my $n = 8501;
    $text =~ s/\bmark_server \K\S+:\d+/'127.0.0.1:%%PORT_' . $n++ . '%%'/ge;

    my @backends = ($b, map {
        $t->backend($_, delay => 0.05, @$backend)
    } 8502 .. $n - 1);

    $text =~ s/\b(mark_slo [^;]*?)\d+ms;/${1}60s;/g;
    $text =~ s/\bendpoint=https:/endpoint=http:/;
    $text =~ s/^http \{/http {\n%%HTTP%%/m;

    my ($status, $said) = $t->test_conf("%%GLOBALS%%\n$text");

    is($status, 0, "$name: nginx -t") or diag($said) or return;

    $t->conf("%%GLOBALS%%\n$text")->run;

    my @requests = map { $request->($_) } 1 .. 8;
    my @alone = map {
        http_request($b->port, %$_)->{body}
    } @requests;

    $b->clear;

    my @r = http_many(\@requests, port => $t->port(8080), concurrency => 8);

    is(join("\n", map { "$_->{status} $_->{body}" } @r),
        join("\n", map { "200 $_" } @alone), "$name: answers");

    cmp_ok(scalar(map { $_->requests } @backends), '<', 8, "$name: batches");

    my $l = $t->status->{locations};

    is($l->[0]{requests}, 8, "$name: status");

    $t->finish;
}


sub post {
    my ($uri, $body) = @_;

    return { method => 'POST', uri => $uri, body => $body };
}


# Lists of token ids, or one: each has its sum for an embedding.

sub embed {
    my ($req) = @_;

    my $input = JSON::PP::decode_json($req->{body})->{input};
    my @rows = ref $input->[0] ? @$input : $input;
    my ($n, $tokens, @data) = (0, 0);

    for my $row (@rows) {
        my $sum = 0;

        $sum += $_ for @$row;
        $tokens += @$row;
        push @data, qq({"object": "embedding", "index": ) . $n++
            . qq(, "embedding": [$sum.50]});
    }

    return { body => '{"object": "list", "data": [' . join(', ', @data)
        . qq(], "model": "m", "usage": {"prompt_tokens": $tokens, )
        . qq("total_tokens": $tokens}}) };
}
