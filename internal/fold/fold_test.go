package fold

import (
	"testing"

	"pgregory.net/rapid"
)

func TestName(t *testing.T) {
	for a, b := range map[string]string{
		"Order_Service": "order-service", "CAFÉ": "cafe\u0301", "straße": "STRASSE", "ς": "Σ", "shop/Cart": "SHOP/cart",
		"Ꭰ": "ꭰ", "\u212aelvin": "kelvin",
	} {
		if Name(a) != Name(b) {
			t.Errorf("%q and %q are one name: %q, %q", a, b, Name(a), Name(b))
		}
	}
	for a, b := range map[string]string{"cart-svc": "cart", "cart": "cart.", "a-b": "ab"} {
		if Name(a) == Name(b) {
			t.Errorf("%q and %q are two names", a, b)
		}
	}
}

func TestNameIsIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "name")
		if once := Name(s); Name(once) != once {
			t.Fatalf("%q folds to %q and then to %q", s, once, Name(once))
		}
	})
}
