package Mark::Bench;

# What the demo and the benchmarks share: starts nginx and mark-server in a
# directory of their own, runs mark-load against them, and reads what the
# processes cost.  Core Perl only.

use warnings;
use strict;

use Cwd ();
use File::Basename qw(dirname);
use File::Path qw(make_path);
use File::Temp ();
use IO::Socket::INET;
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(time sleep);

use Exporter 'import';

our @EXPORT_OK = qw(median table write_json free_port http_get slurp
                    rows_a_batch load_share);

our $top = Cwd::abs_path(dirname(__FILE__) . '/../../..');

my $ticks = POSIX::sysconf(POSIX::_SC_CLK_TCK()) || 100;
my @living;


# Options: keep (leave everything running at the end)

sub new {
    my ($class, %o) = @_;

    my $b = bless {
        dir => File::Temp::tempdir('mark-bench-XXXXXX', TMPDIR => 1,
                                   CLEANUP => !$o{keep}),
        ports => {}, children => [], owner => $$, %o,
    }, $class;

    # nginx's workers write below it, whoever they are
    chmod 0755, $b->{dir};

    push @living, $b;

    $SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);

    return $b;
}


sub dir { $_[0]{dir} }

sub port { $_[0]{ports}{$_[1]} ||= free_port() }


sub free_port {
    my $s = IO::Socket::INET->new(Proto => 'tcp', LocalAddr => '127.0.0.1',
                                  Listen => 1) or die "no free port: $!\n";

    return $s->sockport;
}


# Starts mark-server with these options; returns its pid.

sub server {
    my ($b, $port, @options) = @_;

    my $log = "$b->{dir}/server-$port.log";
    my $pid = $b->spawn($log, "$top/build/mark-server",
                        '--listen', "127.0.0.1:$port", @options);

    push @{$b->{children}}, $pid;

    my $end = time + 120;

    until (slurp($log) =~ /listening on/) {
        die "mark-server did not start:\n", slurp($log)
            if waitpid($pid, POSIX::WNOHANG()) == $pid || time > $end;
        sleep 0.05;
    }

    $b->{server_log} = $log;

    return $pid;
}


# Writes nginx.conf with this http block and returns the command that runs it.
# Options: workers, main (more lines), binary, module.

sub configure {
    my ($b, $http, %o) = @_;

    my $dir = $b->{dir};
    my $workers = $o{workers} || 1;
    my $module = $o{module} || $ENV{TEST_NGINX_MODULE}
                 || "$top/build/ngx_http_mark_module.so";
    my $user = $> == 0 ? "user root;\n" : '';
    my $main = $o{main} || '';

    $http =~ s/%%PORT_(\w+)%%/$b->port($1)/ge;

    open my $f, '>', "$dir/nginx.conf" or die "$dir/nginx.conf: $!\n";
    print $f <<EOC;
load_module $module;
${user}worker_processes $workers;
daemon off;
pid $dir/nginx.pid;
error_log $dir/error.log warn;
$main
events { worker_connections 8192; }
http {
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path $dir/body;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
$http
}
EOC
    close $f;

    my $binary = $o{binary} || $ENV{TEST_NGINX_BINARY} || '/usr/sbin/nginx';

    return ($binary, '-p', $dir, '-c', "$dir/nginx.conf",
            '-e', "$dir/error.log");
}


# What nginx says against such a configuration; nothing if it takes it.

sub refused {
    my ($b, $http, %o) = @_;

    my $out = "$b->{dir}/refused.out";
    my $pid = $b->spawn($out, $b->configure($http, %o), '-t', '-q');

    waitpid $pid, 0;

    return $? ? slurp($out) || 'it does not start' : undef;
}


# Runs a command with its output in a file, in a session of its own; returns
# its pid, for the caller to wait for.

sub spawn {
    my ($b, $out, @command) = @_;

    my $pid = fork;
    die "cannot fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        open STDOUT, '>', $out or die "$out: $!\n";
        open STDERR, '>&', \*STDOUT;
        POSIX::setsid();
        { no warnings 'exec'; exec { $command[0] } @command; }
        syswrite STDOUT, "$command[0]: $!\n";
        POSIX::_exit(127);
    }

    return $pid;
}


# Starts nginx with this http block and the options of configure(); returns
# the pid of its (first) worker.

sub nginx {
    my ($b, $http, %o) = @_;

    my $dir = $b->{dir};
    my $workers = $o{workers} || 1;
    my $pid = $b->spawn("$dir/nginx.out", $b->configure($http, %o));

    push @{$b->{children}}, $pid;
    $b->{nginx} = $pid;

    my $end = time + 20;
    my @w;

    until ((@w = $b->workers) == $workers) {
        die "nginx did not start:\n", slurp("$dir/nginx.out"),
            slurp("$dir/error.log")
            if waitpid($pid, POSIX::WNOHANG()) == $pid || time > $end;
        sleep 0.05;
    }

    return $w[0];
}


sub workers {
    my ($self) = @_;

    my $pid = $self->{nginx};

    open my $f, '<', "/proc/$pid/task/$pid/children" or return ();
    my $line = <$f> || '';

    # a child is a worker when it has said so in its title

            grep { slurp("/proc/$_/cmdline") =~ /worker process/ }
        split ' ', $line;
}


# CPU seconds, user and system, of these processes: in nanoseconds where the
# kernel tells them, else in its ticks.

sub cpu {
    my ($b, @pids) = @_;

    my $sum = 0;

    for my $pid (@pids) {
        my @threads = map { slurp($_) =~ /^(\d+) / ? $1 / 1e9 : () }
            glob "/proc/$pid/task/*/schedstat";

        if (@threads) {
            $sum += $_ for @threads;
            next;
        }

        my $stat = slurp("/proc/$pid/stat");
        $stat =~ s/^.*\) // or next;
        my @f = split ' ', $stat;
        $sum += ($f[11] + $f[12]) / $ticks;
    }

    return $sum;
}


sub resident {
    my ($b, $pid) = @_;

    return slurp("/proc/$pid/status") =~ /^VmRSS:\s+(\d+)/m ? $1 : 0;
}


# Runs mark-load and returns its report, and beside it {rc}: how it left,
# {elapsed}: how long it took, and {cpu}: what the named processes spent
# meanwhile,
#
#     $b->load(\@options, nginx => [ $worker ], server => [ $pid ])
#
# With progress => sub { my ($line) = @_; ... } its live lines are passed on.

sub load {
    my ($b, $options, %o) = @_;

    my $progress = delete $o{progress};
    my $report = "$b->{dir}/load.json";
    unlink $report;

    my $start = time;
    my %before = map { $_ => $b->cpu(@{$o{$_}}) } keys %o;

    pipe my $r, my $w or die "pipe: $!\n";
    my $pid = fork;
    die "cannot fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        close $r;
        open STDERR, '>&', $w;
        open STDOUT, '>', '/dev/null';
        exec "$top/build/mark-load", '--json', $report,
            $progress ? '--progress' : (), @$options;
        die "mark-load: $!\n";
    }

    close $w;
    my $said = '';

    while (my $line = <$r>) {
        if ($progress && $line =~ /^\s*t\b|^\s*\d/) {
            chomp $line;
            $progress->($line);
            next;
        }
        $said .= $line;
    }

    waitpid $pid, 0;
    my $status = $? >> 8;
    my %after = map { $_ => $b->cpu(@{$o{$_}}) } keys %o;
    my $end = time;

    die "mark-load @$options: status $status\n$said"
        if $? & 127 || $status > 2 || !-s $report;

    my $result = JSON::PP->new->decode(slurp($report));

    $result->{rc} = $status;
    $result->{said} = $said;
    $result->{elapsed} = $end - $start;
    $result->{cpu} = { map { $_ => $after{$_} - $before{$_} } keys %o };

    return $result;
}


sub http_get {
    my ($port, $uri) = @_;

    my $s = IO::Socket::INET->new(Proto => 'tcp', PeerAddr => '127.0.0.1',
                                  PeerPort => $port) or return;

    print $s "GET $uri HTTP/1.0\r\nHost: localhost\r\n\r\n";
    local $/;
    my $in = <$s>;

    return unless defined $in && $in =~ /\AHTTP\/1\.\d 200.*?\r\n\r\n(.*)\z/s;
    return $1;
}


sub status {
    my ($b, $port, $uri) = @_;

    my $text = http_get($port, $uri || '/mark_status');

    return defined $text ? JSON::PP->new->decode($text) : undef;
}


# What a batched location, the first one without a name, has sent so far.

sub counters {
    my ($b, $port, $location) = @_;

    my ($l) = grep { !defined $location || $_->{location} eq $location }
        @{$b->status($port)->{locations}};

    die "nothing is batched in ", $location || 'any location', "\n" unless $l;

    # not all rows that were taken into a queue leave in a batch

    return {
        requests => $l->{requests},
        rows => $l->{batch_rows}{sum}, batches => $l->{batch_rows}{count},
    };
}


# Rows a batch between two of these.

sub rows_a_batch {
    my ($before, $after) = @_;

    my $batches = $after->{batches} - $before->{batches};

    return $batches ? ($after->{rows} - $before->{rows}) / $batches : 1;
}


# Waits until a single request, sent with these options of mark-load, takes
# less than so many milliseconds: what clients gave up on may be left behind.

sub settle {
    my ($b, $ms, @options) = @_;

    for (1 .. 60) {
        my $r = $b->load([ '--requests', 1, '--concurrency', 1,
                           '--timeout', 60, @options ]);

        return if $r->{latency}{max} < $ms;
        sleep 0.2;
    }
}


# Share of the machine that mark-load and the processes named in its report
# have used, 0 to 1.

sub load_share {
    my ($r) = @_;

    my $processors = () = slurp('/proc/cpuinfo') =~ /^processor\b/mg;
    my $cpu = $r->{cpu_seconds};

    $cpu += $_ for values %{$r->{cpu}};

    return $cpu / $r->{elapsed} / ($processors || 1);
}


sub slurp {
    my ($path) = @_;

    open my $f, '<', $path or return '';
    local $/;
    my $text = <$f>;

    return defined $text ? $text : '';
}


sub median {
    my @v = sort { $a <=> $b } @_;

    return undef unless @v;
    return @v % 2 ? $v[$#v / 2] : ($v[@v / 2 - 1] + $v[@v / 2]) / 2;
}


# Prints rows of cells, the first row as a heading; numbers to the right.

sub table {
    my (@rows) = @_;

    my @width;

    for my $row (@rows) {
        for my $i (0 .. $#$row) {
            my $n = length $row->[$i];
            $width[$i] = $n if !defined $width[$i] || $n > $width[$i];
        }
    }

    for my $row (@rows) {
        my @cells = map {
            sprintf $_ == 0 ? '%-*s' : '%*s', $width[$_], $row->[$_]
        } 0 .. $#$row;

        (my $line = '  ' . join '   ', @cells) =~ s/ +$//;
        print "$line\n";
        print '  ', '-' x (length(join '   ', map { ' ' x $_ } @width)), "\n"
            if $row == $rows[0];
    }
}


sub write_json {
    my ($path, $data) = @_;

    make_path(dirname($path));
    open my $f, '>', $path or die "$path: $!\n";
    print $f JSON::PP->new->canonical->pretty->encode($data);
    close $f;
}


# Ends what was started, in the order nginx, servers.

sub stop {
    my ($b) = @_;

    return if $b->{keep} || $$ != $b->{owner};

    my @children = reverse @{$b->{children}};
    @{$b->{children}} = ();

    for my $pid (@children) {
        kill $pid == ($b->{nginx} || 0) ? 'QUIT' : 'TERM', $pid;

        my $end = time + 10;
        my $gone;

        until ($gone = waitpid($pid, POSIX::WNOHANG())) {
            last if time > $end;
            sleep 0.05;
        }

        next if $gone;

        kill 'KILL', $pid;
        waitpid $pid, 0;
    }
}


END {
    my $status = $?;
    $_->stop for @living;
    $? = $status;
}


1;
