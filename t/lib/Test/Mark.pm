package Test::Mark;

# Runs a real nginx with the module in a directory of its own, and looks
# closely at how it ends.  Brings all of Test::More along.
#
#   use Test::Mark;
#
#   my $t = Test::Mark->new(workers => 1);
#   my $b = $t->backend(8081);
#
#   $t->conf(<<'EOC')->run;
#   %%GLOBALS%%
#   events { }
#   http {
#       %%HTTP%%
#       server {
#           listen 127.0.0.1:%%PORT_8080%%;
#           location / { proxy_pass http://127.0.0.1:%%PORT_8081%%; }
#           location = /mark_status { mark_status json; }
#       }
#   }
#   EOC
#
#   is(http_post($t->port(8080), '/', '{"instances": [1]}')->{status}, 200);
#
#   done_testing;
#
# At the end (done_testing or $t->finish) nginx must leave with QUIT and
# status 0; it is a failure if it logged [alert], [crit] or [emerg] that the
# test did not allow(), if a worker crashed, if a sanitizer said anything, or
# if mark_status, where a location = /mark_status shows it, still counts
# requests queued or in flight, or carriers created but not freed.
#
# Environment: TEST_NGINX_BINARY, TEST_NGINX_MODULE, TEST_NGINX_LEAVE (keeps
# the directories), TEST_NGINX_LOG_LEVEL, TEST_NGINX_WORKERS (1).

use warnings;
use strict;

use Cwd ();
use Fcntl qw(:flock);
use File::Basename qw(dirname);
use File::Spec;
use File::Temp ();
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use POSIX qw(:sys_wait_h);
use Test::More ();
use Time::HiRes qw(time sleep);

use Test::Mark::Backend;
use Test::Mark::HTTP;

our $top = Cwd::abs_path(dirname(__FILE__) . '/../../..');
our $binary = $ENV{TEST_NGINX_BINARY} || '/usr/sbin/nginx';
our $module = $ENV{TEST_NGINX_MODULE} || "$top/build/ngx_http_mark_module.so";

our @EXPORT = qw(http http_get http_post http_request http_many wait_for
    free_port);

# under sanitizers everything takes its time
our $patience = $ENV{TEST_NGINX_BINARY} ? 30 : 15;

my @living;


sub import {
    my ($class) = @_;

    my $caller = caller;

    eval "package $caller; Test::More->import; 1" or die $@;

    no strict 'refs';
    no warnings 'redefine';

    *{"${caller}::$_"} = \&$_ for @EXPORT, 'done_testing';
}


# ends every nginx, with its assertions, first

sub done_testing {
    $_->finish for @living;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    Test::More::done_testing(@_);
}


# Options: workers (1; 0: master_process off), globals, http (more lines for
# %%GLOBALS%% and %%HTTP%%), log_level (debug), leak_check (1: look at
# mark_status in the end), module (path; 0: none)

sub new {
    my ($class, %o) = @_;

    my $t = bless {
        workers => $ENV{TEST_NGINX_WORKERS} || 1, leak_check => 1,
        module => -e $module ? $module : 0,
        log_level => $ENV{TEST_NGINX_LOG_LEVEL} || 'debug', %o,
        owner => $$, ports => {}, allowed => [], problems => [],
        backends => [],
        dir => File::Temp::tempdir('mark-test-XXXXXX', TMPDIR => 1,
                                   CLEANUP => !$ENV{TEST_NGINX_LEAVE}),
    }, $class;

    Test::More::diag("directory: $t->{dir}") if $ENV{TEST_NGINX_LEAVE};

    push @living, $t;

    return $t;
}


sub dir { $_[0]{dir} }

sub pid { $_[0]{pid} }


# the real port behind a number in the configuration

sub port {
    my ($t, $name) = @_;

    return $t->{ports}{$name} ||= free_port();
}


# a Test::Mark::Backend behind a number in the configuration

sub backend {
    my ($t, $name, %o) = @_;

    my $b = Test::Mark::Backend->new(port => $t->port($name), %o);
    push @{$t->{backends}}, $b;

    return $b;
}


sub write_file {
    my ($t, $name, $content) = @_;

    open my $f, '>:raw', "$t->{dir}/$name" or die "$t->{dir}/$name: $!\n";
    print $f $content;
    close $f or die "$t->{dir}/$name: $!\n";

    return "$t->{dir}/$name";
}


sub read_file {
    my ($t, $name) = @_;

    open my $f, '<:raw', "$t->{dir}/$name" or return '';
    local $/;

    my $content = <$f>;
    return defined $content ? $content : '';
}


# --- configuration ----------------------------------------------------------

# writes nginx.conf; for the next run() or reload()

sub conf {
    my ($t, $text) = @_;

    $t->{conf} = $t->expand($text);
    $t->write_file('nginx.conf', $t->{conf});

    return $t;
}


sub expand {
    my ($t, $text) = @_;

    my $dir = $t->{dir};
    my $workers = $t->{workers};
    my $globals = "daemon off;\npid $dir/nginx.pid;\n"
        . "error_log $dir/error.log $t->{log_level};\n";

    $globals = "load_module $t->{module};\n$globals" if $t->{module};
    $globals .= $workers ? "worker_processes $workers;\n"
                         : "master_process off;\n";
    $globals .= "user root root;\n" if $> == 0;
    $globals .= $t->{globals} || '';

    my $http = "access_log $dir/access.log;\n";
    $http .= "${_}_temp_path $dir/${_}_temp;\n"
        for qw(client_body proxy fastcgi uwsgi scgi);
    $http .= $t->{http} || '';

    $text =~ s/%%GLOBALS%%/$globals/g;
    $text =~ s/%%HTTP%%/$http/g;
    $text =~ s/%%DIR%%/$dir/g;
    $text =~ s/%%PORT_(\w+)%%/$t->port($1)/ge;

    if ($text =~ /(%%\w+%%)/) {
        die "Test::Mark: $1 means nothing\n";
    }

    return $text;
}


# Status and output of nginx -t for a configuration, which the running nginx
# does not see.

sub test_conf {
    my ($t, $text) = @_;

    my $file = $t->write_file('test.conf', $t->expand($text));
    my $pid = open my $out, '-|';
    die "cannot fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        open STDERR, '>&', \*STDOUT;

        # nginx -t does not bother to free the configuration
        $t->environment('detect_leaks=0');
        exec $binary, '-t', '-p', "$t->{dir}/", '-c', $file, '-e', 'stderr'
            or POSIX::_exit(127);
    }

    local ($/, $?);
    my $output = <$out>;
    close $out;

    return ($? >> 8 || $? & 127, $output);
}


# what nginx -V says

sub version_text {
    our $version;

    $version = `'$binary' -V 2>&1` unless defined $version;
    return $version;
}


# is it at least so new?

sub has_version {
    my ($t, $want) = @_;

    my ($have) = version_text() =~ m!nginx/([\d.]+)! or return 0;
    my @have = split /\./, $have;

    for my $n (split /\./, $want) {
        my $h = shift @have || 0;
        return $h > $n if $h != $n;
    }

    return 1;
}


# built with an option of configure, such as http_v2_module?

sub has_option {
    my ($t, $name) = @_;

    return version_text() =~ /--with-\Q$name\E\b/;
}


sub has_module { $_[0]{module} ? 1 : 0 }


# --- starting, signalling, stopping ------------------------------------------

sub environment {
    my ($t, @asan) = @_;

    my $dir = $t->{dir};
    my $suppress = "$dir/lsan.supp";

    # nginx keeps these for its whole life, without a pointer to their start
    # or, in what libraries allocate, without freeing them in the end

    $t->write_file('lsan.supp', join '', map { "leak:$_\n" }
        qw(ngx_event_process_init ngx_regex_malloc CRYPTO_zalloc))
        unless -e $suppress;

    $ENV{ASAN_OPTIONS} = join ':', 'detect_odr_violation=0',
        "log_path=$dir/asan", @asan;
    $ENV{UBSAN_OPTIONS} = "print_stacktrace=1:log_path=$dir/ubsan";
    $ENV{LSAN_OPTIONS} = "suppressions=$suppress:print_suppressions=0";
    $ENV{LC_ALL} = 'C';
}


# starts nginx and waits for its workers; dies if it does not start

sub run {
    my ($t) = @_;

    die "Test::Mark: nginx runs already\n" if $t->{pid};

    unlink "$t->{dir}/nginx.pid";

    my $pid = fork;
    die "cannot fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$t->{dir}/stderr";
        open STDERR, '>&', \*STDOUT;
        $t->environment;
        exec $binary, '-p', "$t->{dir}/", '-c', "$t->{dir}/nginx.conf",
            '-e', "$t->{dir}/error.log" or POSIX::_exit(127);
    }

    $t->{pid} = $pid;
    $t->{started} = 1;

    my $ready = wait_for(sub {
        if (waitpid($pid, WNOHANG) == $pid) {
            delete $t->{pid};
            return 1;
        }

        return -s "$t->{dir}/nginx.pid" && $t->workers >= $t->expected;
    }, $patience);

    if (!$ready || !$t->{pid}) {
        die "Test::Mark: nginx did not start:\n", $t->read_file('stderr'),
            (grep { /\[(?:emerg|alert|crit|error)\]/ } $t->log_lines);
    }

    return $t;
}


sub expected {
    my ($t) = @_;

    return $t->{workers} =~ /^\d+$/ ? $t->{workers} || 1
                                    : POSIX::sysconf(84) || 1; # processors
}


# pids of the workers; also of those shutting down with all => 1

sub workers {
    my ($t, %o) = @_;

    my $master = $t->{pid} or return;
    my @workers;

    if (!$t->{workers}) {
        @workers = $master;
        return @workers;
    }

    for (glob '/proc/[0-9]*/stat') {
        open my $f, '<', $_ or next;
        my ($pid, $parent) = (<$f> || '') =~ /^(\d+) .*\) \S (\d+) /s
            or next;
        next unless $parent == $master;

        open my $g, '<', "/proc/$pid/cmdline" or next;
        my $title = <$g>;
        next unless defined $title && $title =~ /^nginx: worker process/;
        next if $title =~ /is shutting down/ && !$o{all};

        push @workers, $pid;
    }

    @workers = sort { $a <=> $b } @workers;

    return @workers;
}


sub signal {
    my ($t, $signal, $pid) = @_;

    kill $signal, $pid || $t->{pid};
}


# Loads nginx.conf again (or writes and loads this one) and waits until only
# new workers accept.  Returns false if nginx kept the old configuration.

sub reload {
    my ($t, $text) = @_;

    $t->conf($text) if defined $text;

    my %old = map { $_ => 1 } $t->workers(all => 1);
    my $from = length $t->log;

    $t->signal('HUP');

    my $outcome = wait_for(sub {
        my @now = $t->workers;

        return 'done' if @now >= $t->expected && !grep { $old{$_} } @now;
        return 'refused' if $t->log($from) =~ /\[emerg\]/;
        return '';
    }, $patience);

    return $outcome eq 'done';
}


# gone are the workers of before a reload?

sub wait_gone {
    my ($t, @pids) = @_;

    return wait_for(sub { !grep { -e "/proc/$_" } @pids }, $patience);
}


# USR1

sub reopen {
    my ($t) = @_;

    $t->signal('USR1');
}


# a worker (pid; the first one) dies, and another takes its place

sub kill_worker {
    my ($t, $pid, $signal) = @_;

    $pid ||= ($t->workers)[0];
    $signal ||= 'KILL';

    push @{$t->{allowed}}, qr/worker process $pid exited on signal/;
    $t->signal($signal, $pid);

    return wait_for(sub {
        my @now = $t->workers;
        return @now >= $t->expected && !grep { $_ == $pid } @now;
    }, $patience);
}


# A worker does nothing any more, and goes on.  The signal comes some time
# after kill() returns: until then the worker still accepts connections.

sub freeze {
    my ($t, $pid) = @_;

    kill 'STOP', $pid;

    return wait_for(sub { Test::Mark::Backend::stopped($pid) }, $patience);
}

sub thaw { kill 'CONT', $_[1] }


# the graceful end; true if it came, with status 0

sub stop { $_[0]->end('QUIT') }

sub term { $_[0]->end('TERM') }


sub end {
    my ($t, $signal) = @_;

    my $pid = $t->{pid} or return 1;

    kill $signal, $pid if $signal;

    my $status;

    my $gone = wait_for(sub {
        waitpid($pid, WNOHANG) == $pid or return 0;
        $status = $?;
        return 1;
    }, $patience * 2);

    if (!$gone) {
        $t->problem("nginx does not leave after $signal: "
                    . join(' ', 'workers', $t->workers(all => 1)));
        kill 'KILL', $t->workers(all => 1), $pid;
        waitpid $pid, 0;

    } elsif ($status) {
        $t->problem("nginx left with status $status");
    }

    delete $t->{pid};

    return $gone && !$status;
}


# --- what it says -----------------------------------------------------------

# the error log, from an offset in bytes

sub log {
    my ($t, $from) = @_;

    open my $f, '<:raw', "$t->{dir}/error.log" or return '';
    seek $f, $from, 0 if $from;
    local $/;

    my $text = <$f>;
    return defined $text ? $text : '';
}


sub log_lines { map { "$_\n" } split /\n/, $_[0]->log }


sub wait_log {
    my ($t, $regex, $timeout) = @_;

    return wait_for(sub { $t->log =~ $regex }, $timeout || $patience);
}


sub access_log { $_[0]->read_file('access.log') }


# nginx writes it after the client has its answer

sub wait_access_log {
    my ($t, $regex, $timeout) = @_;

    return wait_for(sub { $t->access_log =~ $regex }, $timeout || $patience);
}


# mark_status json, decoded; undef if there is none

sub status {
    my ($t) = @_;

    return unless $t->{conf} && $t->{conf} =~ m!location\s*=\s*/mark_status\b!;

    for ($t->{status_port} || (), $t->listening) {
        my $r = http_get($_, '/mark_status', Connection => 'close') or next;
        next unless $r->{status} == 200 && $r->{body} =~ /^\s*\{/;

        $t->{status_port} = $_;
        return JSON::PP::decode_json($r->{body});
    }

    return;
}


# the counters of one location, of any or this server, in mark_status; undef:
# there is none

sub location {
    my ($t, $name, $server) = @_;

    my ($found) = grep {
        $_->{location} eq $name
            && (!defined $server || $_->{server} eq $server)
    } @{($t->status || {})->{locations} || []};

    return $found;
}


# waits until all these counters of a location have these values

sub reached {
    my ($t, $name, %values) = @_;

    return wait_for(sub {
        my $now = $t->location($name);
        return !grep { ($now->{$_} || 0) != $values{$_} } keys %values;
    });
}



# ports that take plain HTTP/1.1

sub listening {
    my ($t) = @_;

    my @ports;

    while ($t->{conf} =~ /^[^#\n]*\blisten\s+(?:[\d.]+:)?(\d+)([^;]*);/mg) {
        push @ports, $1 unless $2 =~ /\b(?:ssl|http2|quic|proxy_protocol)\b/;
    }

    return @ports;
}


# open files and resident KiB of a process (the first worker)

sub open_files {
    my ($t, $pid) = @_;

    $pid ||= ($t->workers)[0];
    return scalar(() = glob "/proc/$pid/fd/*");
}


sub resident {
    my ($t, $pid) = @_;

    $pid ||= ($t->workers)[0];
    open my $f, '<', "/proc/$pid/status" or return;

    for (<$f>) {
        return $1 if /^VmRSS:\s+(\d+)/;
    }
}


# --- the end ----------------------------------------------------------------

# lines of the error log that match are no failure

sub allow {
    my ($t, @regexes) = @_;

    push @{$t->{allowed}}, @regexes;
}


sub problem {
    my ($t, $text) = @_;

    push @{$t->{problems}}, $text;
}


# stops nginx and the backends; one assertion

sub finish {
    my ($t) = @_;

    my @problems = $t->close_down;
    return unless $t->{started} && !$t->{reported}++;

    local $Test::Builder::Level = $Test::Builder::Level + 2;

    Test::More::ok(!@problems, 'no alerts, no leaks, no crashes')
        or Test::More::diag(map { "$_\n" } @problems);
}


sub close_down {
    my ($t) = @_;

    @living = grep { $_ != $t } @living;

    if (!$t->{closed}++) {
        $t->check_leaks if $t->{pid} && $t->{leak_check};
        $t->stop;
        $_->stop for @{$t->{backends}};
        $t->check_logs if $t->{started};
    }

    return @{$t->{problems}};
}


sub check_leaks {
    my ($t) = @_;

    return unless $t->{conf} =~ m!location\s*=\s*/mark_status\b!;

    my ($status, $left);

    wait_for(sub {
        $status = $t->status or return 0;

        my $carriers = $status->{carriers} || {};
        my ($created, $freed) = @$carriers{qw(created freed)};

        if (!defined $created || !defined $freed) {
            $left = 'no carriers in mark_status';
            return 1;
        }

        $left = join ', ',
            ($created == $freed ? ()
                : "carriers: $created created, $freed freed"),
            map { $status->{$_} ? "$_: $status->{$_}" : () }
                qw(queued in_flight);

        return $left eq '';
    }, 5);

    $t->problem('/mark_status does not answer') unless $status;
    $t->problem("left behind: $left") if $left;
}


sub check_logs {
    my ($t) = @_;

    my $sanitizer = qr/ERROR: \w+Sanitizer|runtime error:|SUMMARY: \w+Sanit/;
    my @allowed = @{$t->{allowed}};

    my ($files, $lines) = (0, 0);

    for my $file ("$t->{dir}/stderr", glob "$t->{dir}/{asan,ubsan}.*") {
        open my $f, '<:raw', $file or next;
        my @lines = <$f>;

        next unless grep { /$sanitizer/ } @lines;
        splice @lines, 60 if @lines > 60;
        $t->problem(join '', "$file:\n", @lines) if $files++ < 3;
    }

    LINE: for ($t->log_lines) {
        next unless / \[(?:alert|crit|emerg)\] /
                    || /exited (?:on signal|with code [1-9])/
                    || /$sanitizer/;

        for my $regex (@allowed) {
            next LINE if $_ =~ $regex;
        }

        chomp;
        $t->problem("error log: $_") if $lines++ < 10;
    }

    $t->problem("and $files reports of sanitizers in all") if $files > 3;
    $t->problem("and $lines lines of the error log in all") if $lines > 10;
}


# what the test did not end itself, because it died or forgot

my $main = $$;

END {
    if ($$ == $main) {
        my $status = $?;

        for my $t (@living) {
            my @problems = $t->close_down;
            next unless @problems;

            Test::More::diag(map { "$_\n" } @problems);
            $status ||= 1;
        }

        $? = $status;
    }
}

for my $signal (qw(INT TERM HUP PIPE)) {
    $SIG{$signal} = sub { exit 130 } unless $SIG{$signal};
}


# --- helpers ----------------------------------------------------------------

# polls; returns what the condition returned last

sub wait_for {
    my ($condition, $timeout) = @_;

    my $end = time + (defined $timeout ? $timeout : $patience);

    for (;;) {
        my $result = $condition->();

        return $result if $result || time > $end;
        sleep 0.01;
    }
}


# A port that no other test has.  It lies below the range that the kernel
# takes ports of outgoing connections from, and a lock keeps it ours until the
# process ends.

my %locks;

sub free_port {
    my $dir = File::Spec->tmpdir . "/mark-ports-$>";
    mkdir $dir;

    for (1 .. 1000) {
        my $port = 10000 + int rand 20000;
        next if $locks{$port};

        open my $lock, '>>', "$dir/$port" or die "$dir/$port: $!\n";
        next unless flock $lock, LOCK_EX | LOCK_NB;

        my $s = IO::Socket::INET->new(
            Proto => 'tcp', LocalAddr => '127.0.0.1', LocalPort => $port,
            Listen => 1, ReuseAddr => 1) or next;
        close $s;

        $locks{$port} = $lock;
        return $port;
    }

    die "no free port\n";
}


# --- HTTP/1.1 ---------------------------------------------------------------

# One request on a connection of its own: method, uri, headers ({} or []),
# body, chunked, version, bytes (instead of all that), timeout.  Returns a
# response as Test::Mark::HTTP has them; without a connection, status 0.

sub http_request {
    my ($port, %r) = @_;

    my $c = Test::Mark::HTTP->new($port, timeout => $r{timeout})
        or return no_response("connect: $!");

    if (defined $r{bytes}) {
        push @{$c->{pending}}, ($r{bytes} =~ /^(\S+)/ ? $1 : 'GET');
        $c->write($r{bytes});

    } else {
        $c->send(%r);
    }

    my $response = $c->response;
    $c->close;

    return $response;
}


sub no_response {
    my ($error) = @_;

    return { status => 0, headers => {}, header_list => [], body => '',
             raw => '', complete => 0, error => $error };
}


sub http_get {
    my ($port, $uri, %headers) = @_;

    return http_request($port, uri => $uri, headers => \%headers);
}


sub http_post {
    my ($port, $uri, $body, %headers) = @_;

    return http_request($port, uri => $uri, body => $body,
                        headers => \%headers);
}


# bytes as they are, one response

sub http {
    my ($port, $bytes, %o) = @_;

    return http_request($port, bytes => $bytes, %o);
}


# Many requests at once: a list of http_request()'s arguments as hashes, with
#
#   port      (or port => N for all)
#   at        sends it so many seconds after the start
#   leave     goes away so many seconds after sending it
#   how       'close' or 'reset', how to go away
#
# Options: port, concurrency (all), keepalive (connections are used again),
# timeout.  Returns the responses in the order of the requests; each with
# start, time (seconds) and number (the order of their arrival).

sub http_many {
    my ($requests, %o) = @_;

    my @todo = map {
        { %{$requests->[$_]}, index => $_ }
    } 0 .. $#$requests;

    my $limit = $o{concurrency} || @todo;
    my $begin = time;
    my $deadline = $begin + ($o{timeout} || 60);
    my (@results, %active, %idle, $arrived);

    my $never = sub {
        return { %{no_response($_[0])}, number => ++$arrived, time => 0,
                 start => time - $begin };
    };

    my $over = sub {
        my ($job, $error, $how) = @_;

        delete $active{fileno $job->{c}->socket};
        $job->{parser}->fail($error) if defined $error;

        my $result = $job->{parser}->result;
        $result->{start} = $job->{start} - $begin;
        $result->{time} = time - $job->{start};
        $result->{number} = ++$arrived;
        $results[$job->{index}] = $result;

        my $connection = lc($result->{headers}{connection} || '');

        if ($o{keepalive} && $result->{complete} && $connection ne 'close') {
            push @{$idle{$job->{port}}}, $job->{c};

        } elsif (($how || '') eq 'reset') {
            $job->{c}->reset;

        } else {
            $job->{c}->close;
        }
    };

    my $next = sub {
        my $r = shift @todo;
        my $port = $r->{port} || $o{port};
        my $c = pop @{$idle{$port}} || Test::Mark::HTTP->new($port);

        if (!$c) {
            $results[$r->{index}] = $never->("connect: $!");
            return;
        }

        my $bytes = defined $r->{bytes}
            ? $r->{bytes} : Test::Mark::HTTP::format_request(%$r);
        my ($method) = $bytes =~ /^(\S+)/;

        $c->socket->blocking(0);
        $active{fileno $c->socket} = {
            %$r, c => $c, port => $port, out => $bytes, start => time,
            parser => Test::Mark::HTTP::Parser->new($method || 'GET'),
        };
    };

    local $SIG{PIPE} = 'IGNORE';

    while (@todo || %active) {
        my $now = time;

        if ($now > $deadline) {
            $over->($_, 'timeout') for values %active;
            $results[$_->{index}] = $never->('timeout') for @todo;
            last;
        }

        @todo = sort { ($a->{at} || 0) <=> ($b->{at} || 0)
                       || $a->{index} <=> $b->{index} } @todo
            if grep { $_->{at} } @todo;

        while (@todo && keys %active < $limit
               && $begin + ($todo[0]{at} || 0) <= $now)
        {
            $next->();
        }

        my ($read, $write) = (IO::Select->new, IO::Select->new);
        my $wait = @todo ? 0.05 : 1;

        if (@todo && $todo[0]{at} && keys %active < $limit) {
            my $left = $begin + $todo[0]{at} - $now;
            $wait = $left > 0 ? $left : 0;
        }

        for my $job (values %active) {
            $read->add($job->{c}->socket);
            $write->add($job->{c}->socket) if $job->{out} ne '';

            if (defined $job->{leave}) {
                my $left = $job->{start} + $job->{leave} - $now;
                $wait = $left > 0 ? $left : 0 if $left < $wait;
            }
        }

        if (!%active) {
            sleep $wait;
            next;
        }

        my ($r, $w) = IO::Select::select($read, $write, undef, $wait);

        for my $s (@{$w || []}) {
            my $job = $active{fileno $s};
            my $n = syswrite($s, $job->{out});

            if (defined $n) {
                substr($job->{out}, 0, $n, '');

            } elsif (!$!{EAGAIN} && !$!{EINTR}) {
                # there may be an answer to read
                $job->{out} = '';
            }
        }

        for my $s (@{$r || []}) {
            my $job = $active{fileno $s};
            my $n = sysread($s, my $bytes, 262144);

            if ($n) {
                $job->{parser}->feed($bytes);

            } elsif (defined $n) {
                $job->{parser}->eof;

            } elsif (!$!{EAGAIN} && !$!{EINTR}) {
                $job->{parser}->fail($!{ECONNRESET} ? 'reset' : "$!");
            }

            $over->($job) if $job->{parser}->done;
        }

        $now = time;

        for my $job (values %active) {
            next unless defined $job->{leave} && $job->{out} eq '';
            next if $job->{start} + $job->{leave} > $now;
            $over->($job, 'left', $job->{how});
        }
    }

    $_->close for map { @$_ } values %idle;

    return @results;
}


1;
