package sandbox

import "strings"

// rewrite replaces the paths of the mounts in text, where they are whole: /outputs in /outputs/x and a=/outputs:/b, but
// not in /outputs2 or /my/outputs.
func rewrite(text string, mounts []Mount) string {
	for _, m := range mounts {
		text = replacePath(text, m.Path, m.Source)
	}
	return text
}

func replacePath(text, path, by string) string {
	var done strings.Builder
	for {
		at := strings.Index(text, path)
		if at < 0 {
			done.WriteString(text)
			return done.String()
		}
		end := at + len(path)
		done.WriteString(text[:at])
		if (at == 0 || !inPath(text[at-1])) && (end == len(text) || text[end] == '/' || !inPath(text[end])) {
			done.WriteString(by)
		} else {
			done.WriteString(path)
		}
		text = text[end:]
	}
}

// inPath says whether a path usually goes on with this byte.
func inPath(b byte) bool {
	return b == '/' || b == '.' || b == '-' || b == '_' || b >= 0x80 ||
		'0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
}

func rewriteAll(texts []string, mounts []Mount) []string {
	var rewritten []string
	for _, text := range texts {
		rewritten = append(rewritten, rewrite(text, mounts))
	}
	return rewritten
}
