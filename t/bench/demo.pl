#!/usr/bin/perl

# The main job on real models, before and after.
#
# The same open-loop load on an MLP of 25 million weights through a plain
# proxy_pass location and through a batched one, then every held-out digit
# through the batched one, from many connections at once.
#
#   ./run demo [--keep] [--rate R] [--seconds S] [--slo MS]
#
# Exit status 0 only if every answer was right.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Getopt::Long;
use IO::Uncompress::Gunzip ();
use JSON::PP ();
use Mark::Bench qw(rows_a_batch slurp table write_json);

my ($keep, $rate, $seconds, $slo) = (0, 400, 10, 100);

GetOptions('keep' => \$keep, 'rate=f' => \$rate, 'seconds=f' => \$seconds,
           'slo=i' => \$slo) && !@ARGV
    or die "usage: ./run demo [--keep] [--rate R] [--seconds S] [--slo MS]\n";

my $top = $Mark::Bench::top;
my $bench = Mark::Bench->new(keep => $keep);
my $failed = 0;
my %report = (rate => $rate, seconds => $seconds, slo_ms => $slo);

$| = 1;

heading('Starting mark-server with two models, and nginx in front of it');

my $server = $bench->server($bench->port('models'),
    '--model', 'digits', '--model', 'wide', '--cache', "$top/build/cache");

print map { "  $_\n" } grep { /\S/ } split /\n/, slurp($bench->{server_log});

my $worker = $bench->nginx(<<EOC);
    client_body_buffer_size 64k;
    upstream models { server 127.0.0.1:%%PORT_models%%; keepalive 64; }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_read_timeout 120s;
    server {
        listen 127.0.0.1:%%PORT_nginx%%;

        location /plain/ {
            proxy_pass http://models/;
        }

        location /batched/ {
            mark_batch v1;
            mark_slo ${slo}ms;
            proxy_pass http://models/;
        }

        location = /mark_status { mark_status; }
        location = /metrics { mark_status prometheus; }
    }
EOC

my $port = $bench->port('nginx');
my $url = "http://127.0.0.1:$port";

print "  nginx: listening on 127.0.0.1:$port, one worker\n";

my %wide = map { $_ => wide($_) } qw(plain batched);
my $digits = digits();

print_table();

write_json("$top/build/bench/demo.json", \%report);

if ($keep) {
    print <<EOT;

Left running:
  plain     curl -d '{"instances": [...]}' $url/plain/v1/models/digits:predict
  batched   curl -d '{"instances": [...]}' $url/batched/v1/models/digits:predict
  status    curl $url/mark_status
  metrics   curl $url/metrics
  files     $bench->{dir} (nginx.conf, error.log)
To end it: kill $bench->{nginx} $server
EOT
}

print $failed ? "\nThere were WRONG ANSWERS.\n"
              : "\nAll answers were right.\n";
exit($failed ? 1 : 0);


sub heading { print "\n$_[0]\n\n" }


# Open-loop load on the wide model; every answer is compared with the one that
# the model gave to this row alone.  The last digits of a float depend on the
# size of a matrix product, so they may differ by 1e-4.

sub wide {
    my ($way) = @_;

    heading(sprintf '%s: %g requests/s for %g s on the wide model, SLO %d ms',
            ucfirst $way, $rate, $seconds, $slo);

    my $before = $bench->counters($port);

    my $r = $bench->load([
        '--rate', $rate, '--duration', $seconds, '--connections', 256,
        '--timeout', 5, '--slo', $slo, '--seed', 7,
        '--random-rows', 1, '--random-dims', 1024, '--random-bodies', 32,
        '--reference', "$url/plain/v1/models/wide:predict",
        '--tolerance', 1e-4,
        "$url/$way/v1/models/wide:predict",
    ], nginx => [ $worker ], server => [ $server ],
       progress => sub { print "  $_[0]\n" });

    my $after = $bench->counters($port);

    $failed ||= wrong($r);

    $bench->settle(500, '--random-rows', 1, '--random-dims', 1024,
                   '--random-bodies', 1,
                   "$url/plain/v1/models/wide:predict");

    my $n = $r->{completed} || 1;

    my %m = (
        offered => $r->{offered}{rate},
        served => $r->{throughput},
        goodput => $r->{goodput},
        p50_ms => $r->{latency}{p50}, p99_ms => $r->{latency}{p99},
        rows_a_batch => rows_a_batch($before, $after),
        nginx_us => 1e6 * $r->{cpu}{nginx} / $n,
        server_us => 1e6 * $r->{cpu}{server} / $n,
        wrong => $r->{wrong}, errors => $r->{errors},
    );

    $report{$way} = \%m;

    return \%m;
}


# Every held-out digit, 64 clients at a time, against its answer alone: byte
# for byte, since the model computes in double precision and answers in
# single.

sub digits {
    heading('Batched: every held-out digit, from 64 connections');

    my @images = held_out();
    my $bodies = "$bench->{dir}/digits.jsonl";
    my $answers = "$bench->{dir}/answers.jsonl";

    open my $f, '>', $bodies or die "$bodies: $!\n";
    print $f '{"instances": [[', join(', ', @{$_->{pixels}}), "]]}\n"
        for @images;
    close $f;

    my $before = $bench->counters($port);

    my $r = $bench->load([
        '--concurrency', 64, '--requests-file', $bodies, '--once',
        '--answers', $answers,
        '--reference', "$url/plain/v1/models/digits:predict",
        "$url/batched/v1/models/digits:predict",
    ], nginx => [ $worker ], server => [ $server ]);

    my $after = $bench->counters($port);

    my @lines = split /\n/, slurp($answers);
    my ($right, $i) = (0, 0);

    for my $image (@images) {
        my $answer = eval { JSON::PP->new->decode($lines[$i++]) };
        my $p = $answer ? $answer->{predictions}[0] : [];
        my ($best) = sort { $p->[$b] <=> $p->[$a] } 0 .. $#$p;

        $right++ if defined $best && $best == $image->{label};
    }

    my $same = $r->{ok};

    # not one may differ, or be missing

    $failed ||= wrong($r) || $same != @images;

    my %m = (
        images => scalar @images, same => $same, right => $right,
        rows_a_batch => rows_a_batch($before, $after),
        rate => $r->{throughput},
    );

    $report{digits} = \%m;

    printf "  %d of %d answers are the same, byte for byte, as unbatched\n",
        $same, scalar @images;
    printf "  accuracy %.4f (%d of %d), %.1f rows a batch\n",
        $right / @images, $right, scalar @images, $m{rows_a_batch};

    return \%m;
}


sub held_out {
    my $csv = "$top/src/server/digits.csv.gz";
    my (@images, $text);

    IO::Uncompress::Gunzip::gunzip($csv => \$text)
        or die "$csv: $IO::Uncompress::Gunzip::GunzipError\n";

    my $n = 0;

    for my $line (grep { /^\d/ } split /\n/, $text) {
        my @v = split /,/, $line;
        my $label = pop @v;

        push @images, { pixels => [ map { 0 + $_ } @v ], label => 0 + $label }
            if $n++ % 5 == 4;
    }

    return @images;
}


sub wrong {
    my ($r) = @_;

    print map { "  $_\n" } split /\n/, $r->{said} if $r->{rc} == 2;

    return $r->{rc} == 2 || $r->{wrong};
}


sub print_table {
    my ($plain, $batched) = @wide{qw(plain batched)};

    heading("The wide model (1024-4096-4096-1000), $rate requests/s offered, "
            . "SLO $slo ms");

    my @rows = ([ '', 'plain proxy_pass', 'mark_batch v1' ]);

    for ([ 'offered requests/s', '%.0f', 'offered' ],
         [ 'served requests/s', '%.0f', 'served' ],
         [ 'goodput under the SLO, requests/s', '%.0f', 'goodput' ],
         [ 'latency p50, ms', '%.1f', 'p50_ms' ],
         [ 'latency p99, ms', '%.1f', 'p99_ms' ],
         [ 'rows a batch', '%.1f', 'rows_a_batch' ],
         [ 'CPU of nginx, us a request', '%.0f', 'nginx_us' ],
         [ 'CPU of mark-server, us a request', '%.0f', 'server_us' ],
         [ 'wrong answers', '%d', 'wrong' ])
    {
        my ($text, $format, $key) = @$_;
        push @rows, [ $text, map { sprintf $format, $_->{$key} }
                             $plain, $batched ];
    }

    table(@rows);

    if ($plain->{goodput} > 0) {
        $report{ratio} = $batched->{goodput} / $plain->{goodput};
        printf "\n  goodput: %.1f times that of plain proxy_pass\n",
            $report{ratio};
    } elsif ($batched->{goodput} > 0) {
        print "\n  goodput: plain proxy_pass had none\n";
    }

    printf "  digits: %d of %d answers the same as unbatched, accuracy %.4f\n",
        $digits->{same}, $digits->{images},
        $digits->{right} / $digits->{images};
}
