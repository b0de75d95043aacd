// Command typecheck checks the types of packages, and of their tests, as on other platforms. It needs no code of them,
// not even of the standard library, so that it takes a fraction of the time of go vet, which compiles every dependency
// for each platform. What it finds are files that do not compile there.
package main

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"

	"golang.org/x/tools/go/packages"
)

func main() {
	platforms := flag.String("for", "", "the platforms, as `OS/ARCH,…`")
	flag.Parse()
	failed := false
	for platform := range strings.SplitSeq(*platforms, ",") {
		problems, err := check(platform, flag.Args())
		if err != nil {
			problems = []string{err.Error()}
		}
		for _, problem := range problems {
			failed = true
			fmt.Fprintf(os.Stderr, "%s: %s\n", platform, problem)
		}
	}
	if failed {
		os.Exit(1)
	}
}

// check returns what does not compile, without cgo.
func check(platform string, patterns []string) (problems []string, err error) {
	system, processor, ok := strings.Cut(platform, "/")
	if !ok {
		return nil, fmt.Errorf("%q is no platform: want OS/ARCH", platform)
	}
	roots := map[string]bool{} // the directories of what is checked whole
	config := &packages.Config{
		Mode:  packages.NeedName | packages.NeedFiles | packages.NeedModule,
		Env:   append(os.Environ(), "GOOS="+system, "GOARCH="+processor, "CGO_ENABLED=0"),
		Tests: true,
	}
	named, err := packages.Load(config, patterns...)
	if err != nil {
		return nil, err
	}
	if len(named) == 0 {
		return nil, fmt.Errorf("no packages are named by %q", patterns)
	}
	for _, p := range named {
		if p.Module != nil {
			roots[p.Module.Dir] = true
		}
	}
	config.Mode |= packages.NeedImports | packages.NeedDeps | packages.NeedCompiledGoFiles |
		packages.NeedTypes | packages.NeedSyntax | packages.NeedTypesInfo
	config.ParseFile = func(files *token.FileSet, name string, source []byte) (*ast.File, error) {
		file, err := parser.ParseFile(files, name, source, parser.SkipObjectResolution)
		if err == nil && !below(roots, name) {
			dropBodies(file)
		}
		return file, err
	}
	loaded, err := packages.Load(config, patterns...)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{} // a package is there again with its tests
	packages.Visit(loaded, nil, func(p *packages.Package) {
		// Without their bodies, the imports of a dependency are not used. The main package of a test is go's own.
		if p.Module == nil || !roots[p.Module.Dir] || strings.HasSuffix(p.PkgPath, ".test") {
			return
		}
		for _, problem := range p.Errors {
			if text := problem.Error(); !seen[text] {
				seen[text] = true
				problems = append(problems, text)
			}
		}
	})
	return problems, nil
}

func below(roots map[string]bool, name string) bool {
	for root := range roots {
		if strings.HasPrefix(name, root+string(os.PathSeparator)) {
			return true
		}
	}
	return false
}

// dropBodies leaves of the functions what their callers see.
func dropBodies(file *ast.File) {
	for _, decl := range file.Decls {
		if function, ok := decl.(*ast.FuncDecl); ok {
			function.Body = nil
		}
	}
}
