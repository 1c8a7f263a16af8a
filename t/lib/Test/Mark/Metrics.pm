package Test::Mark::Metrics;

# Reads Prometheus' text format, and is strict about it.

use warnings;
use strict;

use Test::More ();

use Exporter 'import';

our @EXPORT_OK = qw(parse_metrics);

# what may have a fraction
my $fraction = qr/_(?:seconds(?:_sum|_total)?|ratio|cost(?:_dollars)?_total)$/;


# Samples by name and labels, as the text has them.  Checks the form: HELP and
# TYPE once and first, every metric in one piece, no sample twice.

sub parse_metrics {
    my ($text) = @_;

    my (%help, %type, %samples, %over, @wrong);
    my $now = '';

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    Test::More::like($text, qr/\n\z/, 'Prometheus: the last line ends');

    for (split /\n/, $text) {
        if (/^# HELP (nginx_mark_[a-z_]+) \S[^\\]*$/) {
            push @wrong, $_ if $help{$1}++;
            next;
        }

        if (/^# TYPE (nginx_mark_[a-z_]+) (counter|gauge|histogram)$/) {
            push @wrong, $_ if $type{$1} || !$help{$1} || $over{$1};
            $over{$now} = 1;
            $now = $1;
            $type{$1} = $2;
            push @wrong, $_ if ($2 eq 'counter') != ($now =~ /_total$/);
            next;
        }

        my $value = qr/"(?:[^"\\\n]|\\[\\"n])*"/;

        my $labelled = qr/\{\w+=$value(?:,\w+=$value)*\}/;

        # what workers share is of no location

        my $bare = $now =~ /^nginx_mark_shared_/ ? qr/(?!\{)/ : $labelled;

        if (!/^(nginx_mark_[a-z_]+)($bare) (\d+(?:\.\d+)?)$/) {
            push @wrong, $_;
            next;
        }

        my ($name, $labels, $number) = ($1, $2, $3);

        my $metric = $name;
        $metric =~ s/_(?:bucket|sum|count)$//
            if ($type{$now} || '') eq 'histogram';

        push @wrong, $_ if $metric ne $now || exists $samples{$name . $labels};
        push @wrong, $_ if $number =~ /\./ && $name !~ $fraction;
        $samples{$name . $labels} = $number;
    }

    Test::More::is(join("\n", splice @wrong, 0, 5), '',
        'Prometheus: well-formed');
    Test::More::is(join(' ', sort keys %help), join(' ', sort keys %type),
        'Prometheus: HELP and TYPE');

    return \%samples;
}


1;
