package Mark::Plot;

# Draws lines over a linear grid as SVG, readable on light and dark paper, in
# print and without colours: each series has its own marker.  Core Perl only.

use warnings;
use strict;

use File::Basename qw(dirname);
use File::Path qw(make_path);

use Exporter 'import';

our @EXPORT_OK = qw(plot);

use constant {
    WIDTH => 760, HEIGHT => 440,
    LEFT => 72, RIGHT => 24, TOP => 96, BOTTOM => 60,
};

# strong enough on white and on black

my @colours = ('#2f7ed8', '#d9730d', '#2a9d57', '#a05bc7');
my @markers = qw(circle square triangle diamond);

my $style = <<'END';
  <style>
    text { font: 13px system-ui, sans-serif; fill: #333 }
    .title { font-size: 16px; font-weight: 600 }
    .paper { fill: #fff }
    .grid { stroke: #ddd }
    .axis { stroke: #777 }
    .guide { stroke: #888; stroke-dasharray: 5 4; fill: none }
    .line { fill: none; stroke-width: 2.2; stroke-linejoin: round }
    @media (prefers-color-scheme: dark) {
      text { fill: #ddd }
      .paper { fill: #16181c }
      .grid { stroke: #33373d }
      .axis { stroke: #888 }
    }
  </style>
END


# plot($path, title =>, x => 'what, unit', y => 'what, unit',
#      series => [ { name =>, points => [ [ x, y ], ... ] }, ... ],
#      guide => { name =>, points => } )      a dashed line, what could be

sub plot {
    my ($path, %o) = @_;

    my @series = @{$o{series}};
    my @points = map { @{$_->{points}} } @series, $o{guide} || ();

    my ($x_max, $x_step) = scale(map { $_->[0] } @points);
    my ($y_max, $y_step) = scale(map { $_->[1] } @points);

    my ($right, $bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);

    my $x = sub { LEFT + $_[0] / $x_max * ($right - LEFT) };
    my $y = sub { $bottom - $_[0] / $y_max * ($bottom - TOP) };

    my $svg = sprintf qq(<svg xmlns="http://www.w3.org/2000/svg" )
        . qq(viewBox="0 0 %d %d" role="img" aria-label="%s">\n%s)
        . qq(  <rect class="paper" width="%d" height="%d"/>\n),
        WIDTH, HEIGHT, escape($o{title}), $style, WIDTH, HEIGHT;

    $svg .= text(LEFT, 28, $o{title}, 'start', 'title');

    for (my $v = 0; $v <= $y_max * 1.0001; $v += $y_step) {
        $svg .= line($v ? 'grid' : 'axis', LEFT, $y->($v), $right, $y->($v))
            . text(LEFT - 8, $y->($v) + 4, number($v), 'end');
    }

    for (my $v = 0; $v <= $x_max * 1.0001; $v += $x_step) {
        $svg .= line($v ? 'grid' : 'axis', $x->($v), TOP, $x->($v), $bottom)
            . text($x->($v), $bottom + 20, number($v), 'middle');
    }

    $svg .= text((LEFT + $right) / 2, HEIGHT - 14, $o{x}, 'middle')
        . text(LEFT, TOP - 12, $o{y}, 'start');

    my $place = LEFT;
    my $column = ($right - LEFT) / (@series + ($o{guide} ? 1 : 0));

    if (my $g = $o{guide}) {
        $svg .= sprintf qq(  <polyline class="guide" points="%s"/>\n),
            path_of($g, $x, $y);
        $svg .= line('guide', $place, 52, $place + 26, 52)
            . text($place + 32, 56, $g->{name}, 'start');
        $place += $column;
    }

    for my $i (0 .. $#series) {
        my $s = $series[$i];
        my $colour = $colours[$i % @colours];
        my $marker = $markers[$i % @markers];

        $svg .= sprintf qq(  <polyline class="line" stroke="%s" )
            . qq(points="%s"/>\n), $colour, path_of($s, $x, $y);
        $svg .= mark($marker, $colour, $x->($_->[0]), $y->($_->[1]))
            for @{$s->{points}};

        $svg .= sprintf qq(  <line class="line" stroke="%s" x1="%.1f" )
            . qq(y1="52" x2="%.1f" y2="52"/>\n), $colour, $place, $place + 26;
        $svg .= mark($marker, $colour, $place + 13, 52)
            . text($place + 32, 56, $s->{name}, 'start');
        $place += $column;
    }

    make_path(dirname($path));
    open my $f, '>', $path or die "$path: $!\n";
    print $f $svg, "</svg>\n";
    close $f or die "$path: $!\n";
}


# the end of an axis, and the distance of its ticks: 1, 2 or 5 times 10^n

sub scale {
    my $max = 0;
    $_ > $max and $max = $_ for @_;
    $max ||= 1;

    my $step = 10 ** int(log($max / 8) / log(10) - ($max < 8 ? 1 : 0));
    my ($factor) = grep { $max / ($step * $_) <= 8 } 1, 2, 5, 10;
    $step *= $factor;

    my $ticks = int($max / $step);
    $ticks++ if $ticks * $step < $max;

    return ($ticks * $step, $step);
}


sub path_of {
    my ($series, $x, $y) = @_;

    return join ' ', map { sprintf '%.1f,%.1f', $x->($_->[0]), $y->($_->[1]) }
        @{$series->{points}};
}


sub mark {
    my ($marker, $colour, $x, $y) = @_;

    return sprintf qq(  <circle cx="%.1f" cy="%.1f" r="4" fill="%s"/>\n),
        $x, $y, $colour if $marker eq 'circle';

    my %d = (square => 'M-4-4h8v8h-8z', triangle => 'M0-5l5 9h-10z',
             diamond => 'M0-5l5 5-5 5-5-5z');

    return sprintf qq(  <path d="%s" transform="translate(%.1f %.1f)" )
        . qq(fill="%s"/>\n), $d{$marker}, $x, $y, $colour;
}


sub line {
    my ($class, @at) = @_;

    return sprintf qq(  <line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" )
        . qq(y2="%.1f"/>\n), $class, @at;
}


sub text {
    my ($x, $y, $text, $anchor, $class) = @_;

    return sprintf qq(  <text x="%.1f" y="%.1f" text-anchor="%s"%s>%s)
        . qq(</text>\n), $x, $y, $anchor, $class ? qq( class="$class") : '',
        escape($text);
}


sub number {
    my ($v) = @_;

    my $text = sprintf '%.10g', $v;
    1 while $text =~ s/^(\d+)(\d{3})/$1,$2/;

    return $text;
}


sub escape {
    my ($text) = @_;

    $text =~ s/&/&amp;/g;
    $text =~ s/</&lt;/g;
    $text =~ s/"/&quot;/g;

    return $text;
}


1;
