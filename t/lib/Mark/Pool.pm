package Mark::Pool;

# A pool of unequal model servers, and the balancers that are put before it:
# how nginx and HAProxy are configured and started.  Core Perl only.

use warnings;
use strict;

use IO::Socket::INET;
use Mark::Bench qw(http_get slurp);
use POSIX ();
use Time::HiRes qw(sleep time);

use Exporter 'import';

our @EXPORT_OK = qw(classes balancers balancer unusable rows_a_second
                    balancer_weights start_servers start_balancer newest_nginx
                    sample drain);

# "weights": those of the servers, which a search has found, or the ratio of
# what the servers can do.  "modes": with batches, one at a time to a server,
# there is nothing else to see.

my @balancers = (
    { key => 'round_robin', name => 'round robin' },
    { key => 'weighted', name => 'best static split', weights => 'search' },
    { key => 'least_conn', name => 'least_conn', lines => 'least_conn;' },
    { key => 'weighted_conn', name => 'least_conn, weights',
      lines => 'least_conn;', weights => 'capacity', modes => 'plain' },
    { key => 'random', name => 'random two',
      lines => 'random two least_conn;' },
    { key => 'least_time', name => 'least_time', newest => 1,
      lines => 'least_time last_byte inflight;' },
    { key => 'haproxy', name => 'HAProxy leastconn', haproxy => '',
      modes => 'plain' },
    { key => 'haproxy_queue', name => 'HAProxy leastconn, maxconn 1',
      haproxy => 'maxconn 1' },
    { key => 'slo', name => 'mark_balance slo', lines => 'mark_balance slo;',
      mark_server => 1 },
);

my $haproxy = '/usr/sbin/haproxy';


sub balancers { map { $_->{key} } @balancers }

sub balancer { (grep { $_->{key} eq $_[0] } @balancers)[0] }


# "dear=1,3.0,4,0.25" is a class: how many servers, price an hour, and T(n) of
# n rows as milliseconds for a request and for each row.

sub classes {
    my ($max_batch, @texts) = @_;

    return map {
        my ($name, @v) = /^(\w+)=(\d+),([\d.]+),([\d.]+),([\d.]+)$/
            or die "no class of servers: $_\n";

        { name => $name, count => $v[0], price => $v[1], base => $v[2],
          row => $v[3], max_batch => $max_batch }
    } @texts;
}


# What a server does at most, in requests of one row: alone or in batches.

sub rows_a_second {
    my ($class, $mode) = @_;

    my $n = $mode eq 'plain' ? 1 : $class->{max_batch};

    return 1000 * $n / ($class->{base} + $n * $class->{row});
}


# The weights that divide as the servers' capacities do, 1 for the slowest;
# those of the others times a factor.

sub balancer_weights {
    my ($mode, $factor, @classes) = @_;

    my %rate = map { $_->{name} => rows_a_second($_, $mode) } @classes;
    my ($least) = sort { $a <=> $b } values %rate;

    return { map {
        my $w = int($rate{$_} / $least * $factor + 0.5);
        $_ => $rate{$_} == $least || $w < 1 ? 1 : $w
    } keys %rate };
}


# Servers of their own for one lane; $bench is whose they are.

sub start_servers {
    my ($bench, $lane, @classes) = @_;

    my @servers;

    for my $class (@classes) {
        for my $n (1 .. $class->{count}) {
            my $name = "$class->{name}$n";
            my $port = $bench->port("$lane-$name");

            $bench->server($port, '--model', 'echo',
                           '--echo-delay', $class->{base},
                           '--echo-row-delay', 1000 * $class->{row});

            push @servers, { name => $name, port => $port, class => $class };
        }
    }

    return \@servers;
}


# Why this balancer cannot be measured here; nothing if it can.

sub unusable {
    my ($bench, $way, $servers, $newest) = @_;

    my $b = $way->{balancer};

    return 'no NGINX_NEWEST_SRC' if $b->{newest} && !$newest;
    return "no $haproxy" if defined $b->{haproxy} && !-x $haproxy;

    my $error = $bench->refused(http_block($way, $servers, 1),
                                $b->{newest} ? %$newest : ());

    return unless defined $error;
    return $1 if $error =~ /(unknown directive "\w+")/;

    die "$way->{name}: $error";
}


# nginx, and HAProxy where it is the one; returns the port that takes requests
# and the pids of what works there.

sub start_balancer {
    my ($bench, $way, $servers, $newest) = @_;

    my $b = $way->{balancer};
    my (@pids, $port);

    if (defined $b->{haproxy}) {
        $port = $bench->port('haproxy');
        push @pids, start_haproxy($bench, $port, $b->{haproxy}, $servers);
    }

    if (!$port || $way->{mode} eq 'batched') {
        push @pids, $bench->nginx(http_block($way, $servers, $port),
                                  $b->{newest} ? %$newest : ());
        $port = $bench->port('nginx');
    }

    return ($port, @pids);
}


sub http_block {
    my ($way, $servers, $haproxy_port) = @_;

    my $b = $way->{balancer};
    my $batched = $way->{mode} eq 'batched';
    my @lines = $b->{lines} || ();
    my $limit = 1;

    if (defined $b->{haproxy}) {
        push @lines, "server 127.0.0.1:$haproxy_port;";
        $limit = @$servers;

    } else {
        push @lines, map { server_line($way, $_) } @$servers;
    }

    # mark_balance has the servers' own limits

    push @lines, "mark_max_concurrent_batches $limit;"
        if $batched && !$b->{mark_server};

    my @location = 'proxy_pass http://pool;';

    unshift @location, "mark_slo $way->{slo}ms;",
        'mark_timeout_action reject;' if $batched || $b->{mark_server};

    unshift @location, 'mark_batch v1;',
        "mark_max_batch_size $servers->[0]{class}{max_batch};" if $batched;

    # behind HAProxy all servers look like one: a batch must not wait until
    # it is learned that this one takes several

    push @location, 'mark_max_queue_delay 0;'
        if $batched && defined $b->{haproxy};

    my $upstream = join "\n        ", @lines, 'keepalive 256;';
    my $location = join "\n            ", @location;

    return <<EOC;
    upstream pool {
        $upstream
    }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    server {
        listen 127.0.0.1:%%PORT_nginx%% backlog=4096;
        location / {
            $location
        }
    }
EOC
}


sub server_line {
    my ($way, $server) = @_;

    my $class = $server->{class};
    my $weight = $way->{weights} ? $way->{weights}{$class->{name}} : 1;

    return "server 127.0.0.1:$server->{port} weight=$weight;"
        unless $way->{balancer}{mark_server};

    return "mark_server 127.0.0.1:$server->{port} class=$class->{name} "
        . "price=$class->{price} max_batch=$class->{max_batch} "
        . "concurrency=1;";
}


sub start_haproxy {
    my ($bench, $port, $options, $servers) = @_;

    my $conf = $bench->dir . '/haproxy.cfg';
    my $lines = join '', map {
        "    server $_->{name} 127.0.0.1:$_->{port} $options\n"
    } @$servers;

    open my $f, '>', $conf or die "$conf: $!\n";
    print $f <<EOC;
global
    maxconn 4096
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout queue 60s
    option abortonclose
    http-reuse always
frontend pool
    bind 127.0.0.1:$port
    default_backend servers
backend servers
    balance leastconn
$lines
EOC
    close $f;

    my $out = $bench->dir . '/haproxy.out';
    my $pid = $bench->spawn($out, $haproxy, '-db', '-f', $conf);
    my $end = time + 20;

    push @{$bench->{children}}, $pid;

    until (IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port")) {
        die "HAProxy did not start:\n", slurp($out)
            if waitpid($pid, POSIX::WNOHANG()) == $pid || time > $end;
        sleep 0.05;
    }

    return $pid;
}


# nginx and the module for it from a source tree, as options of Mark::Bench.

sub newest_nginx {
    my ($src) = @_;

    my $out = "$Mark::Bench::top/build/newest";
    my $module = "$out/ngx_http_mark_module.so";

    print STDERR "  building nginx of $src\n";

    system("$Mark::Bench::top/t/lib/build-module", $out, $module, $src) == 0
        or die "the module does not build for $src\n";
    system("make -s -f '$out/objs/Makefile' -C '$out/tree' binary "
           . ">'$out/binary.log' 2>&1") == 0
        or die "nginx of $src does not build, see $out/binary.log\n";

    return { binary => "$out/objs/nginx", module => $module };
}


# What the servers have done so far.

sub sample {
    my ($servers) = @_;

    return [ map {
        my $text = http_get($_->{port}, '/metrics')
            or die "no metrics of $_->{name}\n";
        my %m = $text =~ /^mark_server_(\w+?)(?:_total)?\{\S+ (\S+)$/mg;

        \%m;
    } @$servers ];
}


# Waits until the servers have computed what clients gave up on.

sub drain {
    my ($servers) = @_;

    my $end = time + 120;

    while (grep { $_->{pending_requests} } @{sample($servers)}) {
        die "the servers do not get ready\n" if time > $end;
        sleep 0.05;
    }
}


1;
