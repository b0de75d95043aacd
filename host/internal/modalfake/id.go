package modalfake

import "crypto/rand"

// idLength is that of Modal's ids behind their prefix; its command line takes nothing else for an app's id.
const idLength = 22

// newID returns an id such as ap-… or sb-….
func newID(prefix string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	random := make([]byte, idLength)
	_, _ = rand.Read(random) // it never fails
	for i, b := range random {
		random[i] = letters[int(b)%len(letters)] // not quite even, and nobody minds
	}
	return prefix + "-" + string(random)
}
