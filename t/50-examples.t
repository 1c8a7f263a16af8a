#!/usr/bin/perl

# Every file of conf/examples starts, and batches; so do the synopsis of the
# README and the configuration of the container.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::Mark;

my @examples = sort glob "$FindBin::Bin/../conf/examples/*.conf";

cmp_ok(scalar @examples, '>=', 2, 'there are examples');

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
# module's place.

sub starts {
    my ($name, $text, $listen) = @_;

    $name =~ s/.*\///;
    $listen ||= 8080;

    my $t = Test::Mark->new;

    unless ($t->has_module) {
        SKIP: { skip 'no module', 1 }
        return;
    }

    my $b = $t->backend(8501, delay => 0.05);

    $t->write_file('backends.conf', 'server 127.0.0.1:' . $b->port . ";\n");
    mkdir $t->dir . '/logs';

    $text =~ s/^\s*(?:load_module|include .*modules-enabled|worker_processes
                |pid|error_log|daemon)\b[^;]*;\n//mgx;
    $text =~ s/^\s*\w+_temp_path [^;]*;\n//mg;
    $text =~ s/^\s*access_log \/dev[^;]*;\n//mg;
    $text =~ s/\blisten $listen;/listen 127.0.0.1:%%PORT_8080%%;/;
    $text =~ s/\bserver \S+:8501;/server 127.0.0.1:%%PORT_8501%%;/g;
    $text =~ s/^http \{/http {\n%%HTTP%%/m;

    my ($status, $said) = $t->test_conf("%%GLOBALS%%\n$text");

    is($status, 0, "$name: nginx -t") or diag($said) or return;

    $t->conf("%%GLOBALS%%\n$text")->run;

    my @r = http_many([ map { {
        method => 'POST', uri => '/v1/models/resnet:predict',
        body => "{\"instances\": [[$_, 1.50]]}",
    } } 1 .. 8 ], port => $t->port(8080), concurrency => 8);

    is(scalar(grep {
        $r[$_ - 1]{body} eq "{\"predictions\": [[$_, 1.50]]}"
    } 1 .. 8), 8, "$name: answers");

    cmp_ok(scalar $b->requests, '<', 8, "$name: batches");

    my $l = $t->status->{locations};

    is($l->[0]{requests}, 8, "$name: status");

    $t->finish;
}
