package backend

import "fmt"

// SizeText says how many bytes that are, for people: 309.9 KiB.
func SizeText(bytes int64) string {
	const unit = 1024
	if bytes < unit {
		return fmt.Sprintf("%d B", bytes)
	}
	value, prefix := float64(bytes)/unit, 0
	for ; value >= unit; value /= unit {
		prefix++
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTPE"[prefix])
}
