package Test::Mark::V2;

# The Open Inference Protocol, with binary tensors: requests, and models for
# Test::Mark::Backend that answer in the manner of servers that exist.
#
#   my $b = $t->backend(8081, handler => v2_models('triton'));
#
#   http_request($p, infer('/v2/models/add/infer',
#       id => '"x"',
#       inputs => [ tensor('a', 'INT32', '1,3', '1,2,3'),
#                   tensor('b', 'INT32', '1,3', \pack('l<*', 4, 5, 6)) ],
#       outputs => '[{"name": "sum"}]', parameters => '{"priority": 1}'));
#
# Data are JSON as it is to be sent, without the outer brackets, or a reference
# to bytes.  All else is JSON as well.
#
# Models: add (INT32 a and b, [N, 3]: sum, difference), upper (BYTES text,
# [N, 1]: upper, length), echo (anything: NAME_out for each NAME), total (of
# x: one number, however many rows).  A row with 666 or "bad" is an error.

use warnings;
use strict;

use Encode ();
use JSON::PP ();

use Test::Mark::Backend qw(json_members json_elements);

use Exporter 'import';

our @EXPORT_OK = qw(infer tensor bytes_tensor v2_models);

my $json = JSON::PP->new->allow_nonref;

my %packed = (
    BOOL => 'C', INT8 => 'c', UINT8 => 'C', INT16 => 's<', UINT16 => 'S<',
    INT32 => 'l<', UINT32 => 'L<', INT64 => 'q<', UINT64 => 'Q<',
    FP32 => 'f<', FP64 => 'd<',
);


# --- requests ---------------------------------------------------------------

sub tensor {
    my ($name, $datatype, $shape, $data, $parameters) = @_;

    my $blob = ref $data ? $$data : undef;
    my $size = defined $blob ? '"binary_data_size":' . length $blob : '';

    $parameters = join ',', grep { $_ ne '' } $parameters || '', $size;

    my $text = qq({"name":"$name","shape":[$shape],"datatype":"$datatype");
    $text .= qq(,"parameters":{$parameters}) if $parameters ne '';
    $text .= qq(,"data":[$data]) unless defined $blob;

    return { text => "$text}", blob => $blob };
}


# strings in binary form

sub bytes_tensor {
    my ($name, $shape, @strings) = @_;

    return tensor($name, 'BYTES', $shape, \pack('(L</a)*', @strings));
}


# the arguments of http_request()

sub infer {
    my ($uri, %o) = @_;

    my @inputs = @{$o{inputs}};
    my @members = map { qq("$_":$o{$_}) }
        grep { defined $o{$_} } qw(id parameters);

    push @members, '"inputs":[' . join(',', map { $_->{text} } @inputs) . ']';
    push @members, qq("outputs":$o{outputs}) if defined $o{outputs};

    my $text = '{' . join(',', @members) . '}';
    my %headers = %{$o{headers} || {}};

    if (grep { defined $_->{blob} } @inputs) {
        $headers{'Content-Type'} ||= 'application/octet-stream';
        $headers{'Inference-Header-Content-Length'} ||= length $text;
    }

    return method => 'POST', uri => $uri, headers => \%headers,
        body => join '', $text, map { $_->{blob} } grep {
            defined $_->{blob}
        } @inputs;
}


# --- models -----------------------------------------------------------------

# a handler that answers like 'triton', 'mlserver', or 'python': json.dumps()

sub v2_models {
    my ($dialect) = @_;

    return sub {
        my ($req) = @_;

        my ($model) = $req->{uri} =~ m!/v2/models/(\w+)/infer$!
            or return refusal(404, 'no such place');
        my $infer = eval { read_infer($req) } or return refusal(400, $@);
        my $outputs = eval { compute($model, $infer) }
            or return refusal(400, "[request id: $infer->{id_text}] $@");

        return response($dialect, $model, $infer, $outputs);
    };
}


sub refusal {
    my ($status, $message) = @_;

    $message =~ s/\n\z//;
    return { status => $status,
             body => '{"error":' . $json->encode($message) . '}' };
}


# { id, id_text, inputs => [{ name, datatype, shape, values }], outputs =>
# { name => binary }, binary }

sub read_infer {
    my ($req) = @_;

    my $length = $req->{headers}{'inference-header-content-length'};
    my $text = $req->{body};
    my $blobs = '';

    if (defined $length) {
        die "header size out of range\n"
            if $length !~ /^\d+$/ || $length > length $text;
        $blobs = substr($text, $length, length $text, '');
    }

    my %r = map { @$_ } @{json_members($text) || die "not JSON\n"};
    my %infer = (binary => flag($r{parameters}, 'binary_data_output'));

    $infer{id} = $r{id};
    $infer{id_text} = defined $r{id} ? $json->decode($r{id}) : '<id_unknown>';

    for (@{json_elements($r{inputs}) || die "no inputs\n"}) {
        push @{$infer{inputs}}, read_tensor($_, \$blobs);
    }

    die "unexpected additional input data\n" if $blobs ne '';

    for (@{json_elements($r{outputs}) || []}) {
        my %o = map { @$_ } @{json_members($_)};
        $infer{outputs}{$json->decode($o{name})}
            = flag($o{parameters}, 'binary_data') || $infer{binary};
    }

    return \%infer;
}


sub flag {
    my ($parameters, $name) = @_;

    my ($found) = grep { $_->[0] eq $name }
        @{json_members($parameters) || []};

    return $found && $found->[1] eq 'true';
}


sub read_tensor {
    my ($text, $blobs) = @_;

    my %m = map { @$_ } @{json_members($text)};
    my %p = map { @$_ } @{json_members($m{parameters}) || []};
    my ($name, $datatype) = map { $json->decode($m{$_}) } qw(name datatype);
    my @shape = @{json_elements($m{shape})};
    my $want = 1;

    $want *= $_ for @shape;

    my @values = defined $p{binary_data_size}
        ? unpacked($datatype, substr($$blobs, 0, $p{binary_data_size}, ''))
        : map { decoded($datatype, $_) } flat($m{data});

    die "input '$name' has " . @values . " elements, not $want\n"
        if @values != $want;

    return { name => $name, datatype => $datatype, shape => \@shape,
             values => \@values };
}


sub flat { map { /^\s*\[/ ? flat($_) : $_ } @{json_elements($_[0]) || []} }

sub decoded {
    my ($datatype, $text) = @_;

    return $datatype eq 'BYTES'
        ? Encode::encode('UTF-8', $json->decode(Encode::decode('UTF-8', $text)))
        : $text;
}


sub unpacked {
    my ($datatype, $blob) = @_;

    return unpack '(L</a)*', $blob if $datatype eq 'BYTES';

    my @values = unpack "($packed{$datatype})*", $blob;
    return @values unless $datatype =~ /^FP/;
    return map { sprintf '%.17g', $_ } @values;
}


sub compute {
    my ($model, $infer) = @_;

    my @inputs = @{$infer->{inputs}};
    my %in = map { $_->{name} => $_ } @inputs;

    for (@inputs) {
        die "a bad row\n" if grep { $_ eq '666' || $_ eq 'bad' }
            @{$_->{values}};
    }

    if ($model eq 'echo') {
        return [ map { { %$_, name => "$_->{name}_out" } } @inputs ];
    }

    if ($model eq 'upper') {
        my $text = $in{text} or die "input 'text' is missing\n";

        return [
            { %$text, name => 'upper',
              values => [ map { uc } @{$text->{values}} ] },
            { name => 'length', datatype => 'INT64', shape => $text->{shape},
              values => [ map { length } @{$text->{values}} ] },
        ];
    }

    if ($model eq 'total') {
        my $total = 0;

        $total += $_ for @{$in{x}{values}};
        return [ { %{$in{x}}, name => 'total', shape => [1],
                   values => [$total] } ];
    }

    die "no model '$model'\n" unless $model eq 'add';

    my ($p, $q) = map { $in{$_} || die "input '$_' is missing\n" } qw(a b);
    my ($v, $w) = ($p->{values}, $q->{values});

    for ($p, $q) {
        die "input '$_->{name}' is not [-1,3]\n"
            if @{$_->{shape}} != 2 || $_->{shape}[1] != 3;
    }

    die "batch sizes differ\n" if @$v != @$w;

    return [
        { %$p, name => 'sum', values => [ map { $v->[$_] + $w->[$_] }
                                          0 .. $#$v ] },
        { %$p, name => 'difference', values => [ map { $v->[$_] - $w->[$_] }
                                                 0 .. $#$v ] },
    ];
}


# --- answers ----------------------------------------------------------------

my $made_up = 0;

sub response {
    my ($dialect, $model, $infer, $outputs) = @_;

    my $wanted = $infer->{outputs};
    my ($id, $blobs, @outputs, %headers) = ($infer->{id}, '');

    for my $o (@$outputs) {
        next if $wanted && !exists $wanted->{$o->{name}};

        my $binary = $wanted ? $wanted->{$o->{name}} : $infer->{binary};
        my $blob = $binary && $dialect eq 'triton' ? blob($o) : undef;

        push @outputs, output($dialect, $o, $blob);
        next unless defined $blob;

        $blobs .= $blob;
        $headers{'Content-Type'} = 'application/octet-stream';
    }

    my $text = join $dialect eq 'python' ? ', ' : ',', @outputs;

    if ($dialect eq 'triton') {
        $id = defined $id && $id ne '""' ? qq("id":$id,) : '';
        $text = qq({$id"model_name":"$model","model_version":"1",)
            . qq("outputs":[$text]});

    } elsif ($dialect eq 'mlserver') {
        $id = sprintf '"%08x-made-up"', ++$made_up unless defined $id;
        $text = qq({"model_name":"$model","id":$id,"parameters":{},)
            . qq("outputs":[$text]});
        @headers{qw(ce-id ce-requestid)} = ($json->decode($id)) x 2;

    } else {
        $id = defined $id ? qq(, "id": $id) : '';
        $text = qq({"model_name": "$model", "outputs": [$text]$id}\n);
    }

    $headers{'Inference-Header-Content-Length'} = length $text
        if $headers{'Content-Type'};

    return { headers => \%headers, body => $text . $blobs };
}


sub output {
    my ($dialect, $o, $blob) = @_;

    my ($name, $datatype, $shape) = @$o{qw(name datatype shape)};
    my @texts = map { encoded($datatype, $_) } @{$o->{values}};

    return qq({"name": "$name", "shape": [) . join(', ', @$shape)
        . qq(], "datatype": "$datatype", "data": ) . nested($shape, @texts)
        . '}' if $dialect eq 'python';

    $shape = '[' . join(',', @$shape) . ']';

    my $data = '"data":[' . join(',', @texts) . ']';
    $data = '"parameters":{"binary_data_size":' . length($blob) . '}'
        if defined $blob;

    return qq({"name":"$name","datatype":"$datatype","shape":$shape,$data})
        if $dialect eq 'triton';

    my $codec = $datatype eq 'BYTES' ? 'str' : 'np';

    return qq({"name":"$name","shape":$shape,"datatype":"$datatype",)
        . qq("parameters":{"content_type":"$codec"},$data});
}


sub nested {
    my ($shape, @texts) = @_;

    my ($n, @rest) = @$shape;

    return '[' . join(', ', @texts) . ']' unless @rest;

    my $size = @texts / $n;

    return '[' . join(', ', map {
        nested(\@rest, splice @texts, 0, $size)
    } 1 .. $n) . ']';
}


sub encoded {
    my ($datatype, $value) = @_;

    return $value unless $datatype eq 'BYTES';
    return Encode::encode('UTF-8',
                          $json->encode(Encode::decode('UTF-8', $value)));
}


sub blob {
    my ($o) = @_;

    return pack '(L</a)*', @{$o->{values}} if $o->{datatype} eq 'BYTES';
    return pack "($packed{$o->{datatype}})*", map {
        $_ eq 'true' ? 1 : $_ eq 'false' ? 0 : $_
    } @{$o->{values}};
}


1;
