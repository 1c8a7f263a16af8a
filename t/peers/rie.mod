// AWS's Lambda runtime interface emulator, version 1.14: the last that the Go
// of Debian 12 builds.  Its module has another name than its repository.

module rie

go 1.19

require go.amzn.com v0.0.0

replace go.amzn.com => github.com/aws/aws-lambda-runtime-interface-emulator v0.0.0-20230608002753-23f81711311c
